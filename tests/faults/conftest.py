"""One running stack for all faults, and the table of what they showed."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import template

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(10**6))))
TITLES = ("promise", "kills", "in the middle", "kept", "seconds")
_shown: list[tuple[str, str, str, str, str]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900 + 60 * KILLS))
            # What is killed is found as children of a process, which only Linux's /proc tells.
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="finds processes in /proc"))


@pytest.fixture(scope="package")
def _stack() -> Iterator[Any]:
    from tests.faults.stack import Stack

    base = Path(tempfile.mkdtemp(prefix="latchkey-faults-"))
    stack = Stack(base)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        template.remove(base)


@pytest.fixture
def stack(_stack: Any) -> Iterator[Any]:
    """The running stack; afterwards nothing of the sandbox's faults is left."""
    yield _stack
    _stack.control("faults/clear")


@pytest.fixture
def kills() -> int:
    """How often each thing is killed: 1, or what `make prove` says."""
    return KILLS


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The test's own dice; the seed is printed with the table."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def show():
    """Call it at the end: what was promised, how often it was tried, how often it held."""
    began = time.monotonic()

    def add(promise: str, *, tried: int, hit: int, kept: str) -> None:
        seconds = f"{time.monotonic() - began:.0f}"
        _shown.append((promise, str(tried), str(hit), kept, seconds))

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _shown:
        return
    terminalreporter.section(f"promises under faults, SEED={SEED} KILLS={KILLS}")
    rows = [TITLES, *_shown]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(cells).rstrip())
