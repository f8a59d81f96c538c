"""A small stack for the tests: Valkey, PostgreSQL and a child with a child of its own.

`python -m tests.stack.small_stack BASE` prints the pids of all of them and waits for a signal.
"""

import os
import signal
import sys
import time
from pathlib import Path

from config import paths
from config.children import Children
from config.embedded import Postgres, Valkey

PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""


def main() -> None:
    base = Path(sys.argv[1])
    paths.open_to_nobody(base)
    grandchildren: list[str] = []
    children = Children(show=grandchildren.append)
    signal.signal(signal.SIGINT, lambda *_: children.stopping.set())
    for server in (Valkey(base), Postgres(base, durable=False)):
        children.spawn(
            server.name,
            server.command(),
            environment={"PATH": os.environ["PATH"]},
            stop_signal=server.stop_signal,
            **server.popen,
        )
        children.wait_until(server.name, server.is_ready, seconds=60)
    grandchildren.clear()
    children.spawn("parent", [sys.executable, "-c", PARENT], environment={})
    while not grandchildren:
        time.sleep(0.01)
    pids = [str(child.process.pid) for child in children.running]
    print(*pids, grandchildren[0].rpartition("|")[2].strip(), flush=True)
    children.stopping.wait()
    children.stop()


if __name__ == "__main__":
    main()
