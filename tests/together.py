"""Threads that start at the same instant, each on its own connection to the database."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar

from django.db import connections

Result = TypeVar("Result")


def at_once(call: Callable[[], Result], *, times: int = 8) -> list[Result]:
    """What `times` simultaneous calls returned. The first error of any of them is raised."""
    barrier = Barrier(times)
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            barrier.wait()
            results.append(call())
        except BaseException as error:  # noqa: BLE001  raised again by the test's own thread
            errors.append(error)
        finally:
            connections.close_all()

    threads = [Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
