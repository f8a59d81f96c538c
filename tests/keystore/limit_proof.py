"""Several processes hammer one limit: `python -m tests.keystore.limit_proof` is one of them.

Told by a line what to ask for and how often, it answers with one of all its calls: the instant
before it asked, the instant after it was answered, by a clock that all processes share, and
whether it was let through.
"""

import json
import random
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keystore.limits import Limit

PROCESSES = 4
CLOCKS_DIFFER_SECONDS = 0.001  # Redis decides by a clock of its own


@dataclass(frozen=True, slots=True)
class Proof:
    """`most` calls were admitted in the fullest window, `admitted` in all; an ideal limiter had
    admitted `could_be`. `wronged` were refused while a place was free, beyond all doubt."""

    limit: int
    offered: int
    admitted: int
    could_be: int
    most: int
    wronged: int

    @property
    def usable(self) -> float:
        return self.admitted / self.could_be


class Callers:
    """PROCESSES that stand ready; each proof has them call at once."""

    def __init__(self, redis_url: str) -> None:
        self._running = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.keystore.limit_proof", redis_url, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            for number in range(PROCESSES)
        ]

    def prove(self, limit: Limit, *, load: float, windows: float, subject: str) -> Proof:
        """Offer `load` times the limit from all of them, for so many windows."""
        told = {
            "subject": subject,
            "limit": limit.limit,
            "window": limit.window_seconds,
            "seconds": limit.window_seconds * windows,
            "per_second": load * limit.limit / limit.window_seconds / PROCESSES,
        }
        calls = sorted(self._run(told))
        admitted = [(asked, answered) for asked, answered, allowed in calls if allowed]
        refused = [(asked, answered) for asked, answered, allowed in calls if not allowed]
        return Proof(
            limit=limit.limit,
            offered=len(calls),
            admitted=len(admitted),
            could_be=possible([asked for asked, _, _ in calls], limit.limit, limit.window_seconds),
            most=fullest(admitted, limit.window_seconds),
            wronged=wronged(admitted, refused, limit),
        )

    def _run(self, told: dict[str, Any]) -> Iterator[tuple[float, float, bool]]:
        self._tell(json.dumps(told))
        assert self._heard() == ["ready\n"] * PROCESSES
        self._tell(str(time.monotonic() + 0.1))
        for line in self._heard():
            for asked, answered, allowed in json.loads(line):
                yield asked, answered, bool(allowed)

    def _tell(self, line: str) -> None:
        for process in self._running:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")

    def _heard(self) -> list[str]:
        return [process.stdout.readline() for process in self._running if process.stdout]

    def end(self) -> None:
        for process in self._running:
            process.communicate()
            assert process.returncode == 0


def possible(asked: Sequence[float], limit: int, window_seconds: float) -> int:
    """How many of these calls an ideal limiter admits."""
    admitted: list[float] = []
    for instant in asked:
        if len(admitted) < limit or admitted[-limit] <= instant - window_seconds:
            admitted.append(instant)
    return len(admitted)


def fullest(admitted: Sequence[tuple[float, float]], window_seconds: float) -> int:
    """The most calls that certainly lay in one window: asked after its begin, answered before its
    end. Between asking and answering Redis decided, by a clock that is not ours.
    """
    asked = sorted(one for one, _ in admitted)
    answered = sorted(one for _, one in admitted)
    inside = (
        bisect_left(answered, begin + window_seconds) - bisect_left(asked, begin) for begin in asked
    )
    return max(inside, default=0)


def wronged(
    admitted: Sequence[tuple[float, float]], refused: Sequence[tuple[float, float]], limit: Limit
) -> int:
    """How many were refused although, whenever Redis decided, fewer than the limit can have
    counted: those asked for before this one was answered, and answered a window before it asked
    or later. The calls of one grain count until the last of them is a window old.
    """
    counted = limit.window_seconds + limit.grain_us / 1e6 + CLOCKS_DIFFER_SECONDS
    asked = sorted(one for one, _ in admitted)
    answered = sorted(one for _, one in admitted)
    return sum(
        bisect_right(asked, until) - bisect_left(answered, since - counted) < limit.limit
        for since, until in refused
    )


def hammer(told: dict[str, Any], dice: random.Random) -> list[tuple[float, float, bool]]:
    """Ask at a steady mean rate with jitter, as callers do."""
    from keystore.ratelimit import take_all

    limits = [Limit(told["limit"], window_seconds=told["window"])]
    take_all(subject=f"{told['subject']}:warm", limits=limits, cost=0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    begin = float(sys.stdin.readline())
    every = 1 / told["per_second"]
    due, calls = begin + dice.random() * every, []
    while due < begin + told["seconds"]:
        time.sleep(max(0.0, due - time.monotonic()))
        asked = time.monotonic()
        allowed = take_all(subject=told["subject"], limits=limits)[0].allowed
        calls.append((asked, time.monotonic(), allowed))
        due += every * dice.uniform(0.8, 1.2)
    return calls


def main(redis_url: str, number: int) -> None:
    from django.conf import settings

    settings.configure(REDIS_URL=redis_url, WEB_PROCESSES=PROCESSES)
    for line in sys.stdin:
        calls = hammer(json.loads(line), random.Random(number))
        sys.stdout.write(f"{json.dumps(calls)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
