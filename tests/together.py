"""Threads that start at the same instant, each on its own connection to the database."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar
from unittest.mock import patch

from django.db import connections

from sandbox.faults import Fault

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


def overtake(fault: Fault, slow: Callable[[], object], quick: Callable[[], object]) -> None:
    """Do `quick` while `slow` waits for an answer of Stripe's that `fault` holds back.

    The answer comes as soon as `quick` is through, or is held up by the lock on the customer.
    """
    from billing import locks

    try_lock = locks._try

    def try_and_tell(name: str) -> bool:
        if try_lock(name):
            return True
        fault.let_go.set()
        return False

    errors: list[BaseException] = []

    def run() -> None:
        try:
            slow()
        except BaseException as error:  # noqa: BLE001  raised again by the test's own thread
            errors.append(error)
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    assert fault.waits.wait(60)
    with patch.object(locks, "_try", try_and_tell):
        quick()
    fault.let_go.set()
    thread.join()
    if errors:
        raise errors[0]
