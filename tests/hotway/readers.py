"""Processes that ask the front door without end, each with its own cache, forked from the test."""

import logging
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable

from django.db import connections

from tests.hotway.conftest import call, environ_of

SLOT = struct.Struct("q")


class Shared:
    """Numbers that all of the processes see."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, count * SLOT.size)

    def __getitem__(self, place: int) -> int:
        return int(SLOT.unpack_from(self._memory, place * SLOT.size)[0])

    def __setitem__(self, place: int, value: int) -> None:
        SLOT.pack_into(self._memory, place * SLOT.size, value)


ANSWERED, STOP, FIRST = 0, 1, 2
ASKED, ACCEPTED, WARM, WIDTH = 0, 1, 2, 3


class Readers:
    """Ask about the key that is revoked next, and about the one whose revocation was answered."""

    def __init__(self, door: Callable[..., object], tokens: list[str], processes: int) -> None:
        self.shared = Shared(FIRST + processes * WIDTH)
        self.shared[ANSWERED] = -1
        self.pids = [self._fork(door, tokens, number) for number in range(processes)]

    def total(self, what: int) -> int:
        places = range(FIRST, FIRST + len(self.pids) * WIDTH, WIDTH)
        return sum(self.shared[place + what] for place in places)

    def wait_until_warm(self, number: int) -> None:
        """Until each process that is not stopped was given an answer for the key."""
        places = range(FIRST, FIRST + len(self.pids) * WIDTH, WIDTH)
        end = time.monotonic() + 60
        while any(self.shared[place + WARM] < number for place in places):
            assert time.monotonic() < end, "nobody asks"
            time.sleep(0.001)

    def answered(self, number: int) -> None:
        self.shared[ANSWERED] = number

    def stop(self) -> None:
        self.shared[STOP] = 1
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)

    def _fork(self, door: Callable[..., object], tokens: list[str], number: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            connections["default"].connection = None  # the parent's
            logging.disable(logging.CRITICAL)
            self._ask(door, tokens, FIRST + number * WIDTH)
        finally:
            os._exit(0)

    def _ask(self, door: Callable[..., object], tokens: list[str], place: int) -> None:
        shared, asked_of = self.shared, -1
        while not shared[STOP]:
            over = shared[ANSWERED]  # read before the request starts
            if over != asked_of:
                # At once, and once: a refusal takes Django's way, long enough for a lease to end.
                asked_of = over
                shared[place + ASKED] += 1
                shared[place + ACCEPTED] += is_accepted(door, tokens[over])
            following = min(over + 1, len(tokens) - 1)
            if is_accepted(door, tokens[following]):
                shared[place + WARM] = following


def is_accepted(door: Callable[..., object], token: str) -> bool:
    """Whether the key opens both questions: by the quick way, and by the gateway's."""
    asked = environ_of("/api/v1/entitlements", query="user_id=alice", HTTP_X_API_KEY=token)
    verified = environ_of("/api/v1/whoami", HTTP_X_API_KEY=token)
    return call(door, asked).status[:3] == "200" or call(door, verified).status[:3] == "200"
