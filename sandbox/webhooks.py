"""Delivers events, signed, to those who subscribed; misbehaves on request as networks do."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.store import Object, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox

Target = str | Callable[[bytes, str], int]
RETRY_SECONDS = (1, 5, 30)
TIMEOUT_SECONDS = 20


@dataclass
class Endpoint:
    """`target` is a URL, or in tests a callable that takes body and signature header."""

    id: str
    target: Target
    secret: str
    enabled_events: list[str] = field(default_factory=lambda: ["*"])
    enabled: bool = True

    def wants(self, type: str) -> bool:
        return self.enabled and ("*" in self.enabled_events or type in self.enabled_events)


@dataclass
class Knobs:
    """Probabilities of 0..1, except `delay_seconds`; `hold` keeps deliveries until released."""

    duplicate: float = 0.0
    drop: float = 0.0
    reorder: float = 0.0
    delay_seconds: float = 0.0
    hold: bool = False


@dataclass
class Delivery:
    event: Object
    endpoint: Endpoint
    due: float
    attempts: int = 0
    status: int | None = None


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header of this body."""
    mac = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


class Webhooks:
    """In the background each delivery leaves by itself; otherwise `deliver_all` sends them."""

    def __init__(self, sandbox: Sandbox, *, background: bool, seed: int = 0) -> None:
        self._sandbox = sandbox
        self._wake = threading.Condition()
        self._waiting: list[Delivery] = []
        self._on_its_way: Delivery | None = None
        self._random = random.Random(seed)
        self.background = background
        self.endpoints: dict[str, Endpoint] = {}
        self.knobs = Knobs()
        self.log: list[dict[str, Any]] = []
        if background:
            threading.Thread(target=self._work, name="webhooks", daemon=True).start()

    def add(self, target: Target, secret: str, *, enabled_events: list[str] | None = None) -> str:
        """A static endpoint, as given on the command line or by a test."""
        endpoint = Endpoint(f"we_{random_text(24)}", target, secret, enabled_events or ["*"])
        self.endpoints[endpoint.id] = endpoint
        return endpoint.id

    def enqueue(self, event: Object) -> None:
        wanting = [e for e in self.endpoints.values() if e.wants(event["type"])]
        event["pending_webhooks"] = len(wanting)
        if wanting:
            self._sandbox.store.hide(event["id"], delivered=False)
        with self._wake:
            for endpoint in wanting:
                self._schedule(event, endpoint)
            self._wake.notify()

    def _schedule(self, event: Object, endpoint: Endpoint) -> None:
        knobs = self.knobs
        if self._random.random() < knobs.drop:
            self._record(event, endpoint, "dropped")
            return
        copies = 2 if self._random.random() < knobs.duplicate else 1
        for _ in range(copies):
            due = time.monotonic() + knobs.delay_seconds
            delivery = Delivery(event, endpoint, due)
            if self._waiting and self._random.random() < knobs.reorder:
                place = self._random.randrange(len(self._waiting))
                delivery.due = min(due, self._waiting[place].due)
                self._waiting.insert(place, delivery)
            else:
                self._waiting.append(delivery)

    def pending(self) -> list[Object]:
        """Events not delivered yet, in the order in which they leave: the one that is on its way
        in the background, then those that wait.
        """
        with self._wake:
            leaving = [self._on_its_way] if self._on_its_way else []
            return [delivery.event for delivery in [*leaving, *self._waiting]]

    def deliver(self, event: Object | str) -> list[int]:
        """Send this event now to everyone who wants it, whatever the knobs say."""
        found = self._sandbox.store.get("event", event) if isinstance(event, str) else event
        with self._wake:
            self._waiting = [d for d in self._waiting if d.event["id"] != found["id"]]
        wanting = [e for e in self.endpoints.values() if e.wants(found["type"])]
        return [self._send(Delivery(found, endpoint, 0.0)) for endpoint in wanting]

    def deliver_all(self) -> int:
        """Send what waits, and what that causes, one after the other; returns how many."""
        sent = 0
        while True:
            with self._wake:
                if not self._waiting:
                    return sent
                delivery = self._waiting.pop(0)
            self._send(delivery)
            sent += 1

    def hold(self) -> None:
        self.knobs.hold = True

    def release(self) -> None:
        with self._wake:
            self.knobs.hold = False
            self._wake.notify()

    def seed(self, seed: int) -> None:
        self._random.seed(seed)

    def clear(self) -> None:
        with self._wake:
            self._waiting.clear()
            self.log.clear()
            self.knobs = Knobs()

    def _work(self) -> None:
        while True:
            delivery = self._take()
            status = self._send(delivery)
            with self._wake:
                self._on_its_way = None
                if not 200 <= status < 300 and delivery.attempts <= len(RETRY_SECONDS):
                    delivery.due = time.monotonic() + RETRY_SECONDS[delivery.attempts - 1]
                    self._waiting.append(delivery)

    def _take(self) -> Delivery:
        with self._wake:
            while True:
                now = time.monotonic()
                if not self.knobs.hold:
                    for place, delivery in enumerate(self._waiting):
                        if delivery.due <= now:
                            self._on_its_way = self._waiting.pop(place)
                            return delivery
                due = min((d.due for d in self._waiting), default=now + 60)
                self._wake.wait(60 if self.knobs.hold else max(0.01, due - now))

    def _send(self, delivery: Delivery) -> int:
        delivery.attempts += 1
        body = json.dumps(delivery.event).encode()
        header = sign(body, delivery.endpoint.secret, int(time.time()))
        target = delivery.endpoint.target
        status = target(body, header) if callable(target) else _post(target, body, header)
        delivery.status = status
        if 200 <= status < 300:
            left = delivery.event["pending_webhooks"] - 1
            delivery.event["pending_webhooks"] = max(0, left)
            self._sandbox.store.hide(delivery.event["id"], delivered=left <= 0)
        self._record(delivery.event, delivery.endpoint, status)
        return status

    def _record(self, event: Object, endpoint: Endpoint, status: int | str) -> None:
        entry = {"event": event["id"], "type": event["type"], "endpoint": endpoint.id}
        self.log.append({**entry, "status": status})


def _post(url: str, body: bytes, signature: str) -> int:
    """The status, or 0 when nobody answered."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature,
        "User-Agent": "Stripe/1.0 (latchkey sandbox; not Stripe)",
    }
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
    except (OSError, http.client.HTTPException):
        return 0
