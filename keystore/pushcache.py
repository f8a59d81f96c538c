"""What was read from PostgreSQL, held in this process until somebody changes it.

Each process hears of changes from the transactions that make them (keystore.changebus). Before a
read it forgets what it was told of. A read is answered from memory only within a lease of
25 ms, which begins when PostgreSQL is asked what was committed: so nothing that was committed
longer ago is ever answered from before, whatever is lost, paused or restarted. A write that may
take access away answers after the lease (keystore.withdrawals). Without a lease nothing is
answered from here: ask PostgreSQL.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from keystore.changebus import EVERYTHING, BusDown, ChangeBus

logger = logging.getLogger(__name__)

LEASE_SECONDS = 0.025
RENEWED_BEFORE_SECONDS = 0.007  # its end: others answer meanwhile, and need not wait
QUIET_SECONDS = 0.0005  # so long nobody listens again: a notification takes longer to come
REST_SECONDS = 1.0  # how long a bus that failed is left alone
OVERHEAD_BYTES = 250  # of a name, and of its place in the dictionary


class Bus(Protocol):
    def drain(self) -> list[str]: ...
    def catch_up(self) -> list[str]: ...
    def close(self) -> None: ...


class Held(Protocol):
    """A value that changes of other things than its name make untrue."""

    @property
    def tags(self) -> tuple[str, ...]: ...

    @property
    def size(self) -> int: ...


class PushCache:
    """Names -> values. The name is a tag itself; objects may depend on more of them."""

    _values: dict[str, bytes | Held]
    _names: dict[str, set[str]]  # of the values that depend on a tag
    _bytes: int
    _lease_until: float
    _quiet_until: float

    def __init__(
        self,
        *,
        most_bytes: int,
        connect: Callable[[], Bus] = ChangeBus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes = most_bytes
        self._connect = connect
        self._clock = clock
        self._bus: Bus | None = None
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def is_fresh(self) -> bool:
        """Whether a request that starts now may be answered from memory.

        While another thread listens for all, the lease alone decides: whoever takes access away
        waits for the end of every lease, whether or not the notification was heard. Waiting for
        that thread would line up all others behind its system call.
        """
        asked_at = self._clock()
        if asked_at < self._quiet_until:
            return True
        if not self._lock.acquire(blocking=False):
            if asked_at < self._lease_until:
                return True
            self._lock.acquire()
        try:
            return self._hear()
        except BusDown as error:
            self._doubt(error)
            return False
        finally:
            self._lock.release()

    def _hear(self) -> bool:
        bus = self._bus or self._listen()
        if bus is None:
            return False
        for tag in bus.drain():
            self._forget(tag)
        asked_at = self._clock()
        if asked_at >= self._lease_until - RENEWED_BEFORE_SECONDS:
            for tag in bus.catch_up():
                self._forget(tag)
            self._lease_until = asked_at + LEASE_SECONDS
        self._quiet_until = min(asked_at + QUIET_SECONDS, self._lease_until)
        return True

    def get(self, name: str) -> bytes | Held | None:
        """What is held; ask `is_fresh` before, once for each request."""
        return self._values.get(name)

    def ticket(self) -> int | None:
        """What `put` wants to see: taken before PostgreSQL is asked, after `is_fresh`."""
        return self._changes if self._bus is not None else None

    def put(self, ticket: int | None, name: str, value: bytes | Held) -> None:
        """Hold a value, unless anything has changed since the ticket was taken."""
        with self._lock:
            if ticket is None or ticket != self._changes:
                return
            self._drop(name)
            self._values[name] = value
            self._bytes += _size(value)
            for tag in _tags(value):
                self._names.setdefault(tag, set()).add(name)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._values)))

    def __len__(self) -> int:
        return len(self._values)

    def close(self) -> None:
        """Forget everything and stop listening."""
        with self._lock:
            self._doubt(None)

    def _listen(self) -> Bus | None:
        if self._clock() < self._rest_until:
            return None
        self._bus = self._connect()
        self._clear()
        return self._bus

    def _doubt(self, error: BusDown | None) -> None:
        if error is not None:
            logger.warning("push cache without its bus: %s", error)
        bus, self._bus = self._bus, None
        self._rest_until = self._clock() + REST_SECONDS
        self._clear()
        if bus is not None:
            bus.close()

    def _forget(self, tag: str) -> None:
        self._changes += 1
        if tag == EVERYTHING:
            self._clear()
            return
        self._drop(tag)
        for name in self._names.pop(tag, ()):
            self._drop(name)

    def _drop(self, name: str) -> None:
        value = self._values.pop(name, None)
        if value is None:
            return
        self._bytes -= _size(value)
        for tag in _tags(value):
            names = self._names.get(tag)
            if names is not None:
                names.discard(name)
                if not names:
                    del self._names[tag]

    def _clear(self) -> None:
        self._changes += 1
        self._lease_until = self._quiet_until = 0.0
        self._values = {}
        self._names = {}
        self._bytes = 0

    def _reset(self) -> None:
        """A forked child has its parent's connection, which it must not touch: begin anew."""
        self._lock = threading.Lock()
        self._bus = None
        self._changes = 0
        self._rest_until = 0.0
        self._clear()


def _size(value: bytes | Held) -> int:
    return OVERHEAD_BYTES + (len(value) if isinstance(value, bytes) else value.size)


def _tags(value: bytes | Held) -> tuple[str, ...]:
    return () if isinstance(value, bytes) else value.tags
