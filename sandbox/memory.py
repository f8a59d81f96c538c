"""Lets a sandbox outlive its process: its objects in one file, written soon after each change.

Without it a restart would forget the customers and subscriptions that Latchkey's database knows.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.world import Sandbox

PAUSE_SECONDS = 0.1  # changes within it are written together


class Memory:
    """`path` holds what the sandbox held; `keep` goes on writing it in the background."""

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self._sandbox = sandbox
        self._path = path
        self._written = ""

    def recall(self) -> bool:
        """Take over the objects of the file; False when there is none."""
        if not self._path.exists():
            return False
        self._written = self._path.read_text()
        kept = json.loads(self._written)
        store = self._sandbox.store
        with store.lock:
            store.clear()
            store.by_id.update(kept["objects"])
            for kind, ids in kept["kinds"].items():
                store.by_kind[kind] = {id: store.by_id[id] for id in ids}
            store.hidden.update(kept["hidden"])
            self._sandbox.clock.move_to(self._sandbox.clock.now() + kept["clock_ahead"])
        return True

    def keep(self) -> None:
        threading.Thread(target=self._work, name="memory", daemon=True).start()

    def save(self) -> None:
        """Write the file if anything changed; never leaves half a file."""
        text = self._text()
        if text == self._written:
            return
        replacement = self._path.with_suffix(".new")
        replacement.touch(mode=0o600)
        replacement.write_text(text)
        replacement.replace(self._path)
        self._written = text

    def _work(self) -> None:
        while True:
            self._sandbox.store.touched.wait()
            self._sandbox.store.touched.clear()
            threading.Event().wait(PAUSE_SECONDS)
            self.save()

    def _text(self) -> str:
        store = self._sandbox.store
        with store.lock:
            kept: dict[str, Any] = {
                "clock_ahead": self._sandbox.clock.ahead(),
                "objects": store.by_id,
                "kinds": {kind: list(items) for kind, items in store.by_kind.items()},
                "hidden": store.hidden,
            }
            return json.dumps(kept)
