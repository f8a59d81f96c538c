"""The sandbox's own time: the real one plus an offset, or one that stands still."""

import time
from datetime import datetime


class Clock:
    """Time only moves forward; `frozen_at` makes it stand still between advances."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._frozen = int(frozen_at.timestamp()) if frozen_at else None
        self._offset = 0
        self._pinned: int | None = None

    def now(self) -> int:
        """Unix seconds."""
        if self._pinned is not None:
            return self._pinned
        base = self._frozen if self._frozen is not None else int(time.time())
        return base + self._offset

    def pin(self, at: int | None) -> None:
        """Pretend that it is `at` while work that was due then is done; None ends it."""
        self._pinned = at

    def move_to(self, at: int) -> None:
        self._offset += max(0, at - self.now())

    def ahead(self) -> int:
        """Seconds by which advances have moved it so far."""
        return self._offset
