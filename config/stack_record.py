"""Which stack runs in this checkout: a lock, the pids, and what an earlier one left behind."""

import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from config import paths
from config.watchdog import signal_group, stop_group

STOP_SECONDS = 60


@dataclass
class StackRecord:
    """A running stack; `children` is name -> [pid, when it started], in the order of starting."""

    pid: int
    started: str
    port: int
    children: dict[str, tuple[int, str]] = field(default_factory=dict)

    def save(self) -> None:
        _file().write_text(json.dumps(asdict(self)))


def lock() -> IO[str] | None:
    """The checkout's lock, held until closed or until the process ends; None: another has it."""
    held = (paths.STATE / "stack.lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


def load() -> StackRecord | None:
    try:
        return StackRecord(**json.loads(_file().read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget() -> None:
    _file().unlink(missing_ok=True)


def sweep(record: StackRecord) -> list[str]:
    """Stop what a stack that died left running, last started first; returns the names."""
    left = [
        (name, pid)
        for name, (pid, started) in reversed(record.children.items())
        if started and started_at(pid) == started
    ]
    for _, pid in left:
        stop_group(pid, signal.SIGTERM)
    return [name for name, _ in left]


def stop_running() -> bool:
    """Ask the recorded supervisor to stop and wait for it; False when no stack runs."""
    paths.STATE.mkdir(mode=0o700, exist_ok=True)
    record = load()
    if held := lock():
        held.close()
        return False
    if record is None or started_at(record.pid) != record.started:
        return False  # it holds the lock but has not come to write its record
    os.kill(record.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while time.monotonic() < end:
        if held := lock():
            held.close()
            return True
        time.sleep(0.1)
    raise TimeoutError(f"The stack (pid {record.pid}) did not stop within {STOP_SECONDS} s.")


def started_at(pid: int) -> str:
    """When a process started, to tell it from a later one with the same pid; empty: none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists() or not signal_group(pid, 0):
        return ""
    ps = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()


def _file() -> Path:
    return paths.STATE / "stack.json"
