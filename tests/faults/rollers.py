"""Processes that roll usage up without rest, in small steps, and rise again when they are killed.

python -m tests.faults.rollers COUNT        prints the pid of each one as it begins
"""

import os
import sys
from collections.abc import Callable

import django


def roll(step: Callable[[], object]) -> None:
    from django.db import Error, connection

    while True:
        try:
            step()
        except Error:
            connection.close()


def main(count: int) -> None:
    django.setup()
    from config.clock import now
    from metering.rollup import count_new

    while True:
        child = os.fork() if count else 0
        if count == 0:
            os.wait()
            count = 1
        elif child == 0:
            roll(lambda: count_new(at=now(), at_once=20))
        else:
            count -= 1
            print(child, flush=True)  # noqa: T201  read by the test


if __name__ == "__main__":
    main(int(sys.argv[1]))
