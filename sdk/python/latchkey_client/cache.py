"""Answers remembered for a moment, and for longer in case the service is gone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from latchkey_client.answers import Entitlements


@dataclass(frozen=True)
class Remembered:
    answer: Entitlements
    etag: str
    heard_at: float
    fresh_until: float


class AnswerCache:
    """The last answer about each of at most `size` users; safe to share between threads.

    `stale_seconds`: for how long an answer may stand in while the service is gone.
    """

    def __init__(
        self,
        *,
        fresh_seconds: float,
        stale_seconds: float,
        size: int,
        clock: Callable[[], float],
    ) -> None:
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Remembered] = OrderedDict()

    def fresh(self, user_id: str) -> Entitlements | None:
        kept = self._kept.get(user_id)
        return kept.answer if kept and self._clock() < kept.fresh_until else None

    def etag(self, user_id: str) -> str:
        kept = self._kept.get(user_id)
        return kept.etag if kept else ""

    def stale(self, user_id: str) -> Entitlements | None:
        """What was last heard, marked as such; None when that is too long ago."""
        kept = self._kept.get(user_id)
        if kept is None or self._clock() >= kept.heard_at + self._stale_seconds:
            return None
        return replace(kept.answer, stale=True)

    def keep(self, answer: Entitlements, user_id: str, etag: str) -> None:
        now = self._clock()
        with self._lock:
            self._kept[user_id] = Remembered(answer, etag, now, now + self._fresh_seconds)
            self._kept.move_to_end(user_id)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def still_right(self, user_id: str) -> Entitlements | None:
        """The service said that nothing changed; None if it was forgotten meanwhile."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(user_id)
            if kept is None:
                return None
            renewed = replace(kept, heard_at=now, fresh_until=now + self._fresh_seconds)
            self._kept[user_id] = renewed
        return kept.answer

    def forget(self, user_id: str) -> None:
        """For whoever hears of a change, for example by a webhook."""
        with self._lock:
            self._kept.pop(user_id, None)
