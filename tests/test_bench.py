"""`make bench` starts its own servers: here with the smallest sizes, so that it does not rot."""

import os
import subprocess
import sys

import pytest

from config import paths


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bench_measures_ours_and_the_limit_in_turns():
    """Every answer is compared with what was expected: a wrong one ends the run."""
    done = bench("entitlements", "--alone", "--size", "tiny", "--seconds", "0.05")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| bare granian |" in done.stdout
    assert "| push cache |" in done.stdout


@pytest.mark.slow
def test_the_bench_names_the_paths_that_it_knows():
    done = bench("nothing")

    assert done.returncode == 2
    assert "no such path: nothing" in done.stderr


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=paths.ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
