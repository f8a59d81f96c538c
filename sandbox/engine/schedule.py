"""Does what falls due when time passes: each at its own instant, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.registry import Due, timers

if TYPE_CHECKING:
    from sandbox.world import Sandbox

MOST_STEPS = 100_000


def run_until(sandbox: Sandbox, at: int, *, test_clock: str | None = None) -> None:
    """Work through everything due up to `at` on the global clock, or on one test clock."""
    for _ in range(MOST_STEPS):
        due = min(_due(sandbox, test_clock), key=lambda pair: pair[0], default=None)
        if due is None or due[0] > at:
            return
        moment, work = due
        _run_at(sandbox, moment, work, test_clock)
    raise RuntimeError("the sandbox's clock does not come to rest")


def _due(sandbox: Sandbox, test_clock: str | None) -> Due:
    for source in timers:
        yield from source(sandbox, test_clock)


def _run_at(
    sandbox: Sandbox, moment: int, work: Callable[[int], object], test_clock: str | None
) -> None:
    if test_clock:
        clock = sandbox.store.get("test_helpers.test_clock", test_clock)
        clock["frozen_time"] = max(clock["frozen_time"], moment)
        work(clock["frozen_time"])
        return
    sandbox.clock.pin(moment)
    try:
        work(moment)
    finally:
        sandbox.clock.pin(None)
