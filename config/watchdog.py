"""Stops the stack's children when the supervisor dies without a word (kill -9, a closed laptop).

Runs in a session of its own and is told on its standard input what there is: `group <process
group> <signal>`, `ended <process group>`, `remove <directory>`. The pipe's other end is held by
the supervisor alone, so its end means that nobody is left to clean up. `done` means that the
supervisor has done it.
"""

import os
import shutil
import signal
import sys
import time

GRACE_SECONDS = 10


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[str, str] = {}
    directories: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "done":
            return
        if word == "group":
            group, _, number = rest.partition(" ")
            groups[group] = number
        elif word == "ended":
            groups.pop(rest, None)
        elif word == "remove":
            directories.append(rest)
    for group, number in reversed(groups.items()):
        stop_group(int(group), int(number))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def stop_group(group: int, number: int) -> None:
    """Signal a group's leader, wait until the group is empty, kill what is left after the grace.

    The leader stops its own: a worker ends its task, a database its sessions.
    """
    end = time.monotonic() + GRACE_SECONDS
    try:
        os.kill(group, number)
    except (ProcessLookupError, PermissionError):
        signal_group(group, number)  # a leader that died before its children
    while time.monotonic() < end:
        if not signal_group(group, 0):
            return
        time.sleep(0.05)
    signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none, only look) to a group; False when the group has no process."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
