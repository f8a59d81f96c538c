"""Limits are exact on four processes: never above in any window, and used up.

A minute is played in a second; PROVE_MINUTES=1.5 plays real ones, as `make prove` does.
"""

import os
import sys
import time

import pytest

from keystore.limits import Limit
from tests.keystore.limit_proof import Callers, fullest, possible, wronged

MINUTES = float(os.environ.get("PROVE_MINUTES", "0"))
WINDOW = 60 if MINUTES else 1
WINDOWS = MINUTES or 2.0
LOADS = (0.9, 1.0, 2.0)
LIMITS = (10, 100, 1000) if MINUTES else (10, 100)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 600 * MINUTES)]


@pytest.fixture(scope="module")
def callers(_redis_client):
    running = Callers(os.environ["REDIS_URL"])
    yield running
    running.end()


@pytest.mark.parametrize("load", LOADS if MINUTES else (1.0, 2.0))
@pytest.mark.parametrize("limit", LIMITS)
def test_four_processes_use_all_of_a_limit_and_no_more(callers, limit, load):
    found = callers.prove(
        Limit(limit, window_seconds=WINDOW),
        load=load,
        windows=WINDOWS,
        subject=f"proof:{limit}:{load}:{time.monotonic_ns()}",
    )

    figures = f"{found.usable:.1%} usable, {found.most} in the fullest window"
    sys.stdout.write(f"limit {limit} at {load}: {figures}\n")
    assert found.most <= limit
    assert found.wronged == 0
    # A busy machine holds calls up on their way, and in one second a few of them are many percent.
    assert not MINUTES or found.admitted >= 0.99 * found.could_be - 1


def test_fullest_window_is_found():
    calls = [(0.0, 0.1), (0.5, 0.6), (0.9, 1.05), (1.2, 1.3)]
    assert fullest(calls, 1.0) == 3


def test_refusal_while_a_place_was_free_is_found():
    limit, admitted = Limit(2, window_seconds=1), [(0.0, 0.1), (0.5, 0.6)]

    assert wronged(admitted, [(0.7, 0.8), (1.05, 1.1)], limit) == 0
    assert wronged(admitted, [(1.2, 1.3)], limit) == 1


def test_ideal_limiter_is_exact():
    assert possible([0.0, 0.1, 0.2, 1.0, 1.05, 1.1], 2, 1.0) == 4
