"""Several processes hammer one limit: `python -m tests.keystore.limit_proof` is one of them.

Told by its arguments what to ask for and how often, it prints a line for every admitted call: the
instant before it asked and the instant after it was answered, by a clock that all processes share.
"""

import json
import random
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Proof:
    """`most` calls were admitted in the fullest window, `admitted` in all; an ideal limiter had
    admitted `could_be`."""

    limit: int
    offered: int
    admitted: int
    could_be: int
    most: int

    @property
    def usable(self) -> float:
        return self.admitted / self.could_be


def prove(
    redis_url: str, *, limit: int, load: float, window_seconds: int, windows: float, subject: str
) -> Proof:
    """Offer `load` times the limit from PROCESSES at once, for so many windows."""
    seconds = window_seconds * windows
    told = {
        "redis": redis_url,
        "subject": subject,
        "limit": limit,
        "window": window_seconds,
        "seconds": seconds,
        "per_second": load * limit / window_seconds / PROCESSES,
    }
    calls = sorted(_run(told))
    admitted = [(asked, answered) for asked, answered, allowed in calls if allowed]
    return Proof(
        limit=limit,
        offered=len(calls),
        admitted=len(admitted),
        could_be=possible([asked for asked, _, _ in calls], limit, window_seconds),
        most=fullest(admitted, window_seconds),
    )


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


def _run(told: dict[str, Any]) -> Iterator[tuple[float, float, bool]]:
    command = [sys.executable, "-m", "tests.keystore.limit_proof", json.dumps(told)]
    running = [
        subprocess.Popen(
            [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begin = f"{time.monotonic() + 0.1}\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write(begin)
        process.stdin.flush()
    for process in running:
        text, _ = process.communicate()
        assert process.returncode == 0
        for asked, answered, allowed in json.loads(text):
            yield asked, answered, bool(allowed)


def hammer(told: dict[str, Any], number: int) -> list[tuple[float, float, bool]]:
    """Ask at a steady mean rate with jitter, as callers do."""
    from django.conf import settings

    settings.configure(REDIS_URL=told["redis"], WEB_PROCESSES=PROCESSES)
    from keystore.limits import Limit
    from keystore.ratelimit import take_all

    dice = random.Random(number)
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


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hammer(json.loads(sys.argv[1]), int(sys.argv[2]))))
