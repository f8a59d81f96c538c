"""Hearing of every change that was committed, in time to forget what it made untrue.

Two ways lead here. A notification comes by itself, within a millisecond or so of the commit.
The log is asked for whatever was written since the last time: that proves, whether notifications
arrive or not, that nothing is pending. Migration 0006 of keystore has the triggers that write both.
"""

import select
import time
from contextlib import suppress

import psycopg
from psycopg import pq

from keystore.lines import LineDown, connect, prepare, rows_of

ROUND_TRIP_SECONDS = 0.5
MOST_TAGS = 1000
EVERYTHING = "*"
# Half of what the log is kept for: whoever asks less often has lost the thread.
LONGEST_SILENCE_SECONDS = 300.0

ASK = b"catch_up"
# Whatever is below the snapshot's xmin has ended and was visible: the next question starts there.
CATCH_UP = b"""
SELECT pg_snapshot_xmin(pg_current_snapshot())::text,
       extract(epoch FROM clock_timestamp())::text,
       (SELECT string_agg(id || ' ' || tag, E'\\n')
        FROM (SELECT id, tag FROM keystore_change WHERE xid >= $1::xid8 LIMIT 1001) AS recent)
"""


class BusDown(Exception):
    """Nobody knows what has changed: trust nothing that was heard before."""


class ChangeBus:
    """One connection that listens. Not for several threads at once. Raises BusDown."""

    def __init__(self) -> None:
        try:
            self._connection = connect()
            result = self._connection.exec_(b"LISTEN latchkey_changes")
            prepare(self._connection, ASK, CATCH_UP)
        except (LineDown, psycopg.Error) as error:
            raise BusDown(str(error)) from error
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise BusDown("this connection cannot listen")
        self._poll = select.poll()
        self._poll.register(self._connection.socket, select.POLLIN)
        self._since: str | None = None
        self._asked_at = 0.0  # by PostgreSQL's clock
        self._known: set[str] = set()

    def drain(self) -> list[str]:
        """The tags of changes that were notified of meanwhile. Never waits."""
        try:
            self._connection.consume_input()
            found = self._connection.notifies()
        except psycopg.Error as error:
            raise BusDown(str(error)) from error
        if found is None:
            return []
        tags = []
        while found is not None:
            tags.append(found.extra.decode())
            found = self._connection.notifies()
        return tags

    def catch_up(self) -> list[str]:
        """The tags of every change that was committed before this call and is not known yet.

        EVERYTHING when they cannot be told apart: at the first time, after a long silence, or
        when there are too many.
        """
        since, asked_at, rows = self._ask()
        known, self._known = self._known, {row.partition(" ")[0] for row in rows}
        tags = [row.partition(" ")[2] for row in rows if row.partition(" ")[0] not in known]
        silence = asked_at - self._asked_at
        lost = self._since is None or len(rows) > MOST_TAGS or silence > LONGEST_SILENCE_SECONDS
        self._since, self._asked_at = since, asked_at
        return [EVERYTHING] if lost or silence < 0 else tags

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.finish()

    def _ask(self) -> tuple[str, float, list[str]]:
        # At first there is nothing to catch up with: only where to go on is asked for.
        since = self._since or str(2**63 - 1)
        try:
            self._connection.send_query_prepared(ASK, [since.encode()])
            self._await()
            result = self._connection.get_result()
            while self._connection.get_result() is not None:
                pass
        except psycopg.Error as error:
            raise BusDown(str(error)) from error
        if result is None or result.status != pq.ExecStatus.TUPLES_OK:
            raise BusDown("the log of changes cannot be read")
        xmin, clock, rows = rows_of(result)[0]
        if xmin is None or clock is None:
            raise BusDown("the log of changes has no answer")
        return xmin, float(clock), rows.split("\n") if rows else []

    def _await(self) -> None:
        """Until the answer is complete, but not longer than ROUND_TRIP_SECONDS."""
        end = time.monotonic() + ROUND_TRIP_SECONDS
        self._connection.flush()
        while True:
            self._connection.consume_input()
            if not self._connection.is_busy():
                return
            left = end - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise BusDown("PostgreSQL does not answer")
