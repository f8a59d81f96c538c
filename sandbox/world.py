"""One sandbox: everything that a stand-in for Stripe holds, apart from how it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox import resources
from sandbox.api import Request, Response, respond
from sandbox.check import check_event
from sandbox.client import InProcessClient
from sandbox.clock import Clock
from sandbox.counters import Counters
from sandbox.engine import schedule
from sandbox.events import EventLog, difference, type_of
from sandbox.faults import Faults
from sandbox.idempotency import IdempotencyKeys
from sandbox.registry import PageAnswer, PageRequest, page_for
from sandbox.shapes import copy
from sandbox.store import Object, Store
from sandbox.webhooks import Target, Webhooks

resources.load()


@dataclass
class Settings:
    """What the Stripe dashboard would hold: how a failed renewal is retried, and what then."""

    retry_days: tuple[int, ...] = (3, 5, 7)
    after_retries: str = "cancel"  # or unpaid, or past_due
    draft_seconds: int = 3600


class Sandbox:
    """`verify` raises if an answer or event lacks the documented shape: for tests."""

    def __init__(
        self,
        *,
        frozen_at: datetime | None = None,
        public_url: str = "http://127.0.0.1:12111",
        background: bool = False,
        verify: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self.public_url = public_url.rstrip("/")
        self.verify = verify
        self.settings = settings or Settings()
        self.store = Store()
        self.clock = Clock(frozen_at)
        self.counters = Counters()
        self.faults = Faults()
        self.idempotency = IdempotencyKeys()
        self.events = EventLog(self)
        self.webhooks = Webhooks(self, background=background)
        resources.seed(self)

    def request(self, method: str, url: str, body: str, headers: dict[str, str]) -> Response:
        return respond(self, Request.parse(method, url, body, headers))

    def http_client(self) -> InProcessClient:
        return InProcessClient(self)

    def open_page(
        self, method: str, path: str, *, query: dict[str, str], form: dict[str, str]
    ) -> PageAnswer | None:
        """What a browser gets; None when no such page exists."""
        found = page_for(method, path)
        if found is None:
            return None
        _, handler, ids = found
        with self.store.lock:
            return handler(PageRequest(self, ids, query, form))

    def now(self, item: Object | None = None) -> int:
        """Unix seconds, of the test clock that this object belongs to if it has one."""
        clock = self.store.find(self._clock_id(item)) if item else None
        return int(clock["frozen_time"]) if clock else self.clock.now()

    def _clock_id(self, item: Object) -> str | None:
        if item.get("object") == "test_helpers.test_clock":
            return None
        if item.get("test_clock"):
            return str(item["test_clock"])
        customer = item.get("customer")
        owner = self.store.find(customer) if isinstance(customer, str) else None
        return owner.get("test_clock") if owner else None

    def emit(self, type: str, item: Object, previous: dict[str, Any] | None = None) -> None:
        event = self.events.emit(type, item, previous)
        problems = check_event(event) if event and self.verify else []
        if problems:
            raise AssertionError(f"{type}: {problems[0]}")

    @contextmanager
    def changing(self, item: Object, type: str | None = None) -> Iterator[Object]:
        """Whatever changes inside becomes one `*.updated` event with previous_attributes."""
        before = copy(item)
        yield item
        previous = difference(before, item)
        if previous:
            self.emit(type or type_of(item["object"], "updated"), item, previous)

    def deliver_to(self, target: Target, secret: str, *, types: list[str] | None = None) -> str:
        """Send events to a URL, or to a callable that takes body and signature header."""
        return self.webhooks.add(target, secret, enabled_events=types)

    def pending_events(self) -> list[Object]:
        return self.webhooks.pending()

    def executions(self, *, route: str | None = None, operation_id: str | None = None) -> int:
        return self.counters.executions(route=route, operation_id=operation_id)

    def advance(self, by: timedelta) -> None:
        """Let time pass, and do what falls due on the way, each at its own instant."""
        self.advance_to(self.clock.now() + int(by.total_seconds()))

    def advance_to(self, at: int) -> None:
        with self.store.lock:
            schedule.run_until(self, at)
            self.clock.move_to(at)

    def tick(self) -> None:
        """Do what has fallen due by now: for a server, whose clock runs by itself."""
        with self.store.lock:
            schedule.run_until(self, self.clock.now())

    def reset(self) -> None:
        """As new; endpoints given on the command line stay."""
        with self.store.lock:
            self.store.clear()
            self.idempotency.clear()
            self.counters.clear()
            self.faults.clear()
            self.webhooks.clear()
            resources.seed(self)
