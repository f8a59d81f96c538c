"""Lets a sandbox outlive its process: its objects in one file, written soon after each change.

Without it a restart would forget the customers and subscriptions that Latchkey's database knows.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.world import Sandbox

PAUSE_SECONDS = 0.1  # changes within it are written together
UNREADABLE = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, KeyError, TypeError)


class Memory:
    """`path` holds what the sandbox held; `keep` goes on writing it in the background.

    The file is a pickle, for the values beside Stripe's objects are Python's: trust it as much
    as the code.
    """

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self._sandbox = sandbox
        self._path = path
        self._written = b""

    def recall(self) -> bool:
        """Take over the objects of the file; False when there is none that can be read."""
        if not self._path.exists():
            return False
        try:
            self._written = self._path.read_bytes()
            kept = pickle.loads(self._written)
            self._take(kept)
        except UNREADABLE as problem:
            print(f"{self._path} is of another version ({problem!r}): starting empty.", flush=True)
            self._sandbox.reset()
            return False
        return True

    def _take(self, kept: dict[str, Any]) -> None:
        store = self._sandbox.store
        with store.lock:
            store.clear()
            store.by_id.update(kept["by_id"])
            store.by_kind.update(kept["by_kind"])
            store.hidden.update(kept["hidden"])
            self._sandbox.clock.move_to(self._sandbox.clock.now() + kept["clock_ahead"])

    def keep(self) -> None:
        threading.Thread(target=self._work, name="memory", daemon=True).start()

    def save(self) -> None:
        """Write the file if anything changed; never leaves half a file."""
        content = self._content()
        if content == self._written:
            return
        replacement = self._path.with_suffix(".new")
        replacement.touch(mode=0o600)
        replacement.write_bytes(content)
        replacement.replace(self._path)
        self._written = content

    def _work(self) -> None:
        touched = self._sandbox.store.touched
        while True:
            touched.wait()
            touched.clear()
            time.sleep(PAUSE_SECONDS)
            try:
                self.save()
            except Exception as problem:  # noqa: BLE001  a full disk must not end the keeping
                print(f"{self._path} was not written: {problem!r}", file=sys.stderr, flush=True)

    def _content(self) -> bytes:
        store = self._sandbox.store
        with store.lock:
            return pickle.dumps(
                {
                    "by_id": store.by_id,
                    "by_kind": store.by_kind,
                    "hidden": store.hidden,
                    "clock_ahead": self._sandbox.clock.ahead(),
                }
            )
