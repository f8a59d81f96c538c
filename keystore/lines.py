"""PostgreSQL straight through libpq, by prepared statements, on a connection per thread.

For the few questions that are asked tens of thousands of times a second: it costs a third of
what the ORM's way costs. Everything is text in both directions.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import psycopg
from django.db import connections
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn, PGresult

from keystore.forks import THIS

# What Django keeps in its parameters that is not libpq's.
NOT_LIBPQ = {"context", "cursor_factory", "prepare_threshold"}
IN_UTC = " -c TimeZone=UTC -c DateStyle=ISO"
# A plan for each value is no better: each statement finds one row by its name.
ONE_PLAN = " -c plan_cache_mode=force_generic_plan"

Row = tuple[str | None, ...]

_counting = threading.Lock()
_asked: Counter[str] = Counter()  # statement -> times since they were taken


class LineDown(Exception):
    """The database could not be reached, or refused the statement."""


@dataclass
class Line:
    """One connection, and the names of the statements that it knows."""

    connection: PGconn
    process: int
    prepared: set[bytes] = field(default_factory=set)


class Lines(threading.local):
    """The line of each thread."""

    line: Line | None = None

    def rows(self, name: bytes, sql: bytes, values: Sequence[str | None]) -> list[Row]:
        """What the statement `name` answers. It may run twice when the connection was lost."""
        with _counting:
            _asked[name.decode()] += 1
        given = [None if value is None else value.encode() for value in values]
        line = self.line
        if line is not None and line.process == THIS.process:
            try:
                return _ask(line, name, sql, given)
            except LineDown:
                was_lost = line.connection.status != pq.ConnStatus.OK
                self.hang_up()
                if not was_lost:
                    raise
        self.line = Line(connect(ONE_PLAN), THIS.process)
        try:
            return _ask(self.line, name, sql, given)
        except LineDown:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """End the connection. That of a parent process is left alone."""
        line, self.line = self.line, None
        if line is not None and line.process == THIS.process:
            line.connection.finish()


def take_asked() -> Counter[str]:
    """How often each statement was asked since the last call; the count begins anew."""
    with _counting:
        taken = _asked.copy()
        _asked.clear()
    return taken


def connect(options: str = "") -> PGconn:
    """A connection by Django's own settings. Raises LineDown."""
    settings = connections["default"].get_connection_params()
    known = {name: value for name, value in settings.items() if name not in NOT_LIBPQ}
    known["options"] = f"{known.get('options', '')}{IN_UTC}{options}"
    connection = pq.PGconn.connect(make_conninfo(**known).encode())
    if connection.status != pq.ConnStatus.OK:
        connection.finish()
        raise LineDown("no connection to PostgreSQL")
    return connection


def prepare(connection: PGconn, name: bytes, sql: bytes) -> None:
    """Make a statement known under a name. Raises LineDown."""
    made = connection.prepare(name, sql)
    if made.status != pq.ExecStatus.COMMAND_OK:
        raise LineDown(made.error_message.decode(errors="replace").strip())


def _ask(line: Line, name: bytes, sql: bytes, given: list[bytes | None]) -> list[Row]:
    try:
        if name not in line.prepared:
            prepare(line.connection, name, sql)
            line.prepared.add(name)
        result = line.connection.exec_prepared(name, cast(list[bytes], given))  # None is NULL
    except psycopg.Error as error:
        raise LineDown(str(error)) from error
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise LineDown(result.error_message.decode(errors="replace").strip())
    return rows_of(result)


def rows_of(result: PGresult) -> list[Row]:
    """The rows of a result as texts."""
    columns = range(result.nfields)
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else str(value, "utf-8")
            for column in columns
        )
        for row in range(result.ntuples)
    ]
