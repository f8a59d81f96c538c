"""What each process of a run gets: the tests of one running product begin one share, together."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Their tests share a product that takes many seconds to start, so one process runs them all.
TOGETHER = ("browser", "faults")
HERE = Path(__file__).parent


def pytest_configure() -> None:
    # As often as usual, the collector takes a tenth of the run: tests make much and keep little.
    gc.set_threshold(50_000, 20, 50)
    # The same examples each time, however slow the machine: a run must not fail by chance.
    # `HYPOTHESIS_PROFILE=long`, as `make explore` says, looks for others.
    own = {"derandomize": True, "database": None} if "HYPOTHESIS_PROFILE" not in os.environ else {}
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    settings.register_profile("latchkey", deadline=None, suppress_health_check=slow, **own)
    settings.load_profile("latchkey")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`--dist worksteal` cuts the list into equal shares, and takes from their ends only."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = len(items) // processes
    for number, folder in enumerate(TOGETHER):
        found = [item for item in items if HERE / folder in item.path.parents]
        moved = set(found)
        items[:] = [item for item in items if item not in moved]
        start = number % processes * share
        items[start:start] = found
