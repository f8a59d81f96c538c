"""Recording usage: now, or buffered and sent in batches by a thread of its own."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from latchkey_client import calls
from latchkey_client.answers import Json, Receipt
from latchkey_client.buffer import Buffer
from latchkey_client.errors import ApiError, LatchkeyError
from latchkey_client.ids import time_ordered_id
from latchkey_client.transport import Transport

logger = logging.getLogger("latchkey_client")

MOST_AT_ONCE = 1000

Rejected = Callable[[Receipt], None]


def usage_event(
    meter: str,
    user_id: str,
    quantity: int | str | None = 1,
    *,
    properties: Mapping[str, Any] | None = None,
    event_id: str = "",
    source: str = "",
    occurred_at: datetime | None = None,
    api: str = "",
) -> Json:
    """One event. Its id makes every retry harmless; without one it gets a new one, here and now.

    `quantity` as int or decimal string: a float would not be exact.
    """
    if isinstance(quantity, float):
        raise TypeError("quantity must be an int or a decimal string: floats are not exact.")
    at = occurred_at or datetime.now(UTC)
    event: Json = {
        "id": event_id or time_ordered_id(),
        "meter": meter,
        "user_id": user_id,
        "occurred_at": at.isoformat(),
    }
    optional = {"quantity": quantity, "source": source, "api": api, "properties": properties}
    return event | {name: value for name, value in optional.items() if value}


class UsageRecorder:
    """`record` returns at once; a thread sends what waits every `flush_seconds`, or when a whole
    batch does. What was refused for good is told to `on_rejected` and logged.
    """

    def __init__(
        self,
        transport: Transport,
        buffer: Buffer,
        *,
        flush_seconds: float = 1.0,
        on_rejected: Rejected | None = None,
    ) -> None:
        self._transport = transport
        self._buffer = buffer
        self._flush_seconds = flush_seconds
        self._on_rejected = on_rejected
        self._sending = threading.Lock()
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def record(self, meter: str, user_id: str, quantity: int | str = 1, **more: Any) -> str:
        """Buffer one event; its id. Raises BufferFull rather than forget one."""
        event = usage_event(meter, user_id, quantity, **more)
        self._buffer.put(event)
        self._start()
        if len(self._buffer) >= MOST_AT_ONCE:
            self._wake.set()
        return str(event["id"])

    def flush(self) -> int:
        """Send all that waits. How many were sent. Raises when the service cannot be reached;
        they wait on then.
        """
        sent = 0
        with self._sending:
            while batch := self._buffer.first(MOST_AT_ONCE):
                for receipt in self._send(batch):
                    report(receipt, self._on_rejected)
                self._buffer.done(batch)
                sent += len(batch)
        return sent

    def __len__(self) -> int:
        return len(self._buffer)

    def close(self) -> None:
        """Send what waits, once, and stop the thread."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        try:
            self.flush()
        except LatchkeyError as error:
            logger.warning("%d usage events were not sent: %s", len(self._buffer), error)
        atexit.unregister(self.close)
        self._buffer.close()

    def _send(self, batch: list[Json]) -> list[Receipt]:
        try:
            return self._transport.send(calls.record(batch))[0]
        except ApiError as error:
            if error.status in (401, 403, 429) or len(batch) == 1:
                return refused_as_one(batch, error)
            # One of them makes the whole request unreadable: find it by halves.
            half = len(batch) // 2
            return self._send(batch[:half]) + self._send(batch[half:])

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._work, name="latchkey", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def _work(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            if self._closed.is_set():
                return  # whoever closes sends what is left
            try:
                self.flush()
            except LatchkeyError as error:
                logger.warning("%d usage events wait: %s", len(self._buffer), error)
            except Exception:
                logger.exception("sending usage failed")


def refused_as_one(batch: list[Json], error: ApiError) -> list[Receipt]:
    """What a refused request means for its events. Raises if they may be sent again later."""
    if error.status in (401, 403, 429):
        raise error
    return [
        Receipt(event["id"], event.get("source", ""), "rejected", error.code, error.detail)
        for event in batch
    ]


def report(receipt: Receipt, on_rejected: Rejected | None) -> None:
    if receipt.counted:
        return
    logger.warning("usage event %s %s: %s", receipt.id, receipt.status, receipt.detail)
    if on_rejected is not None:
        on_rejected(receipt)
