"""Events that wait to be sent: bounded, and on disk for those who ask for it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from latchkey_client.answers import Json
from latchkey_client.errors import LatchkeyError


class BufferFull(LatchkeyError):
    """Too many events wait: the service is away for long, or too much is recorded."""


class Buffer(Protocol):
    """Keeps events until they are acknowledged. Safe to use from several threads."""

    def put(self, event: Json) -> None:
        """Raises BufferFull. An event with the id of one that waits takes no second place."""

    def first(self, count: int) -> list[Json]:
        """The oldest ones; they stay until they are done."""

    def done(self, events: list[Json]) -> None: ...

    def __len__(self) -> int: ...

    def close(self) -> None: ...


def _name(event: Json) -> str:
    return json.dumps([event.get("source", ""), event["id"]])


class MemoryBuffer:
    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._events: OrderedDict[str, Json] = OrderedDict()

    def put(self, event: Json) -> None:
        with self._lock:
            if len(self._events) >= self._size and _name(event) not in self._events:
                raise BufferFull(f"{self._size} events wait already.")
            self._events.setdefault(_name(event), event)

    def first(self, count: int) -> list[Json]:
        with self._lock:
            return [event for event, _ in zip(self._events.values(), range(count), strict=False)]

    def done(self, events: list[Json]) -> None:
        with self._lock:
            for event in events:
                self._events.pop(_name(event), None)

    def __len__(self) -> int:
        return len(self._events)

    def close(self) -> None:
        """What waits is gone with the process."""


class DiskBuffer:
    """A SQLite file: what was recorded is sent after a crash or restart. One process at a time
    sends; the ids make it harmless if two do.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS event"
            " (number INTEGER PRIMARY KEY, name TEXT UNIQUE, body TEXT NOT NULL)"
        )

    def put(self, event: Json) -> None:
        with self._lock:
            (waiting,) = self._db.execute("SELECT count(*) FROM event").fetchone()
            if waiting >= self._size:
                raise BufferFull(f"{self._size} events wait already.")
            self._db.execute(
                "INSERT OR IGNORE INTO event (name, body) VALUES (?, ?)",
                (_name(event), json.dumps(event)),
            )

    def first(self, count: int) -> list[Json]:
        with self._lock:
            rows = self._db.execute("SELECT body FROM event ORDER BY number LIMIT ?", (count,))
            return [json.loads(body) for (body,) in rows]

    def done(self, events: list[Json]) -> None:
        with self._lock:
            names = [(_name(event),) for event in events]
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM event WHERE name = ?", names)
            self._db.execute("COMMIT")

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM event").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._db.close()
