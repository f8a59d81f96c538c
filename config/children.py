"""Child processes that stop together, in reverse order, and that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import watchdog

COLOURS = (36, 33, 32, 35, 34, 31, 96, 93)
PR_SET_PDEATHSIG = 1
LONGEST_PAUSE = 0.5


class StackFailed(Exception):
    """The stack cannot start or go on; the message says why and what to do."""


@dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    output: threading.Thread


@dataclass
class Children:
    """Running processes in the order of their start; `show` gets each line that they print."""

    show: Callable[[str], None]
    on_change: Callable[[list["Child"]], None] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    running: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lifeline = subprocess.Popen(
            [sys.executable, "-S", str(Path(watchdog.__file__))],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
        show: Callable[[str], None] | None = None,
        **popen: Any,
    ) -> Child:
        """Start a process in a session of its own; `show` gets its lines instead of everyone's."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
            env=dict(environment),
            **popen,
        )
        self._tell_watchdog(f"group {process.pid} {int(stop_signal)}")
        show = show or self._behind(name)
        output = threading.Thread(target=_pump, args=(process, show), daemon=True)
        output.start()
        child = Child(name, process, stop_signal, output)
        self.running.append(child)
        self._changed()
        return child

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        show: Callable[[str], None] | None = None,
    ) -> None:
        """Run a process to its end; StackFailed if it fails."""
        child = self.spawn(name, command, environment=environment, show=show)
        while child.process.poll() is None:
            if self.stopping.wait(0.05):
                return
        self.running.remove(child)
        self._ended(child)
        if child.process.returncode != 0:
            code = child.process.returncode
            raise StackFailed(f"{name} failed with exit code {code}; see above.")

    def wait_until(self, name: str, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait for a part to answer; StackFailed if it takes too long or any child ends."""
        end, pause = time.monotonic() + seconds, 0.02
        while not self.stopping.is_set() and not is_ready():
            self.check()
            if time.monotonic() > end:
                raise StackFailed(f"{name} did not answer within {seconds:.0f} s; see above.")
            self.stopping.wait(pause)
            pause = min(pause * 1.2, LONGEST_PAUSE)

    def check(self) -> None:
        """StackFailed if a child that should run has ended."""
        for child in self.running:
            if child.process.poll() is not None:
                child.output.join(2)
                code = child.process.returncode
                raise StackFailed(f"{child.name} ended with exit code {code}; stopping the rest.")

    def stop_last(self) -> None:
        """Stop the child that was started last, with all of its process group."""
        child = self.running[-1]
        if child.process.poll() is None:
            child.process.send_signal(child.stop_signal)
            try:
                child.process.wait(watchdog.GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.show(f"{child.name} does not stop; killing it")
        watchdog.signal_group(child.process.pid, signal.SIGKILL)  # what is left of its group
        child.process.wait()
        self.running.remove(child)
        self._ended(child)

    def stop(self) -> None:
        """Stop everything, last started first, then release the watchdog."""
        while self.running:
            self.stop_last()
        self._tell_watchdog("done")
        self._lifeline.communicate()

    def remove_at_death(self, directory: Path) -> None:
        """Have the watchdog remove a directory if we die without stopping."""
        self._tell_watchdog(f"remove {directory}")

    def _ended(self, child: Child) -> None:
        child.output.join(2)
        if child.process.stdout and not child.output.is_alive():
            child.process.stdout.close()
        self._tell_watchdog(f"ended {child.process.pid}")
        self._changed()

    def _changed(self) -> None:
        if self.on_change:
            self.on_change(self.running)

    def _tell_watchdog(self, line: str) -> None:
        assert self._lifeline.stdin is not None
        self._lifeline.stdin.write(f"{line}\n".encode())
        self._lifeline.stdin.flush()

    def _behind(self, name: str) -> Callable[[str], None]:
        """Shows lines behind a name, in a colour of its own on a terminal."""
        prefix = f"{name:>9} | "
        if sys.stdout.isatty():
            prefix = f"\033[{COLOURS[len(self.running) % len(COLOURS)]}m{prefix}\033[0m"
        return lambda line: self.show(prefix + line)


def _pump(process: subprocess.Popen[bytes], show: Callable[[str], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        show(line.decode(errors="replace").rstrip("\n"))


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux: what a new child does so that the kernel ends it when its parent dies.

    The watchdog does the same in order and on every system; this holds if both are killed.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # resolved before the fork: afterwards only plain calls
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
