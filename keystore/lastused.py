"""When was a key last used? Noted in memory and written together, a few seconds late.

Losing a few seconds of it at a crash is allowed; slowing a request down is not.
"""

import logging
import os
import threading
import time
from datetime import datetime
from typing import Protocol

from django.db import connection

logger = logging.getLogger(__name__)

FLUSH_EVERY_SECONDS = 5
MOST_NOTED = 100_000

# One statement, whatever their number: models of a thousand keys would hold up every request.
WRITE = """
WITH noted AS (SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS noted (id, used_at)),
free AS (
    SELECT key.id, noted.used_at FROM keystore_apikey AS key JOIN noted USING (id)
    FOR NO KEY UPDATE OF key SKIP LOCKED
)
UPDATE keystore_apikey AS key SET last_used_at = greatest(key.last_used_at, free.used_at)
FROM free WHERE key.id = free.id
"""


class UseNotes:
    """Key -> last use, and the daemon thread that writes them down."""

    _notes: dict[int, datetime]
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self._reset()

    def note(self, key_id: int, at: datetime) -> None:
        with self._lock:
            if len(self._notes) < MOST_NOTED or key_id in self._notes:
                self._notes[key_id] = at
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="last-used", daemon=True)
                self._thread.start()

    def flush(self) -> int:
        """Write what was noted; how many keys were written. Rows that are locked are left out."""
        with self._lock:
            notes, self._notes = self._notes, {}
        if not notes:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(WRITE, [list(notes), list(notes.values())])
            written: int = cursor.rowcount
        return written

    def _reset(self) -> None:
        """A forked child has the notes of its parent but not the thread: begin anew."""
        self._lock = threading.Lock()
        self._notes = {}
        self._thread = None

    def _work(self) -> None:
        while True:
            time.sleep(FLUSH_EVERY_SECONDS)
            try:
                self.flush()
            except Exception:
                # Whatever the database says: the notes are lost, the thread must live on.
                logger.warning("could not write down last uses", exc_info=True)
            finally:
                connection.close()


_notes = UseNotes()
os.register_at_fork(after_in_child=_notes._reset)


class HasId(Protocol):
    @property
    def pk(self) -> int: ...


def note_use(*, key: HasId, at: datetime) -> None:
    """Remember that `key` was used at the instant `at`. Never touches the database."""
    _notes.note(key.pk, at)
