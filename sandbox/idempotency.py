"""Stripe's v1 rules for the Idempotency-Key header of POST requests."""

import threading
from dataclasses import dataclass

from sandbox.errors import idempotency_mismatch, idempotency_running

KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    request_id: str


@dataclass
class Saved:
    request: tuple[str, str]
    at: int
    answer: Answer | None = None


class IdempotencyKeys:
    """Same key and request: the first answer, a 500 included. Another request: refused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved: dict[tuple[str, str], Saved] = {}

    def begin(self, key: str, *, account: str, request: tuple[str, str], at: int) -> Answer | None:
        """The saved answer, or None when the caller is to execute and then finish or forget."""
        with self._lock:
            saved = self._saved.get((account, key))
            if saved is None or saved.at <= at - KEPT_SECONDS:
                self._saved[(account, key)] = Saved(request, at)
                return None
        if saved.request != request:
            raise idempotency_mismatch(key)
        if saved.answer is None:
            raise idempotency_running(key)
        return saved.answer

    def finish(self, key: str, *, account: str, answer: Answer) -> None:
        with self._lock:
            self._saved[(account, key)].answer = answer

    def forget(self, key: str, *, account: str) -> None:
        """The request never started to execute: the key stays free."""
        with self._lock:
            self._saved.pop((account, key), None)

    def clear(self) -> None:
        with self._lock:
            self._saved.clear()
