"""Whatever ends the supervisor, none of its processes outlives it."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config import paths
from config.stack_record import started_at


@pytest.fixture
def base() -> Iterator[Path]:
    """Short enough for a socket, unlike pytest's own temporary directories."""
    directory = Path(tempfile.mkdtemp(prefix="lk-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def start(base: Path, python: str = sys.executable, **popen: Any) -> tuple[Any, list[int]]:
    stack = subprocess.Popen(
        [python, "-m", "tests.stack.small_stack", str(base)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=paths.ROOT,
        **popen,
    )
    assert stack.stdout
    with stack.stdout:
        pids = [int(word) for word in stack.stdout.readline().split()]
    assert len(pids) == 4, "valkey, postgres, a child and its child"
    return stack, pids


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if started_at(pid) and not is_zombie(pid)]


def is_zombie(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, check=False)
    return state.stdout.strip() in (b"Z", b"")


def wait_until_dead(pids: list[int], seconds: float = 60) -> list[int]:
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.1)
    return alive(pids)


def test_ctrl_c_stops_every_process(base: Path):
    stack, pids = start(base)
    assert alive(pids) == pids

    stack.send_signal(signal.SIGINT)

    assert stack.wait(60) == 0
    assert alive(pids) == []


def test_kill_9_of_the_supervisor_leaves_no_process(base: Path):
    stack, pids = start(base)

    stack.kill()
    stack.wait(60)

    assert wait_until_dead(pids) == []


# Whoever is not root runs all tests as an ordinary account already.
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another account")
def test_an_ordinary_account_can_run_it(base: Path):
    nobody = pwd.getpwnam("nobody")
    os.chown(base, nobody.pw_uid, nobody.pw_gid)
    python, environment = interpreter_for_everyone()

    stack, pids = start(
        base,
        python,
        env=environment,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
    )
    with psycopg.connect(host=str(paths.postgres_socket_dir(base)), user="postgres") as connection:
        owner = Path(f"/proc/{connection.info.backend_pid}").stat().st_uid
    stack.send_signal(signal.SIGINT)

    assert owner == nobody.pw_uid
    assert stack.wait(60) == 0
    assert alive(pids) == []


def interpreter_for_everyone() -> tuple[str, dict[str, str]]:
    """A Python that any account may run, with our packages; skips where there is none."""
    packages = Path(psycopg.__file__).resolve().parent.parent
    if not paths.others_can_reach(packages / "psycopg"):
        pytest.skip("the virtual environment is closed to other accounts")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (Path(sys.executable).resolve(), Path("/usr/bin") / version):
        if found.exists() and paths.others_can_reach(found):
            path = f"{packages}:{paths.ROOT}"
            return str(found), {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    pytest.skip("no interpreter that other accounts may run")
