"""Recording usage from asyncio: buffered, and sent in batches by a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from latchkey_client import calls
from latchkey_client.answers import Json, Receipt
from latchkey_client.buffer import Buffer
from latchkey_client.errors import ApiError, LatchkeyError
from latchkey_client.transport import AsyncTransport
from latchkey_client.usage import MOST_AT_ONCE, Rejected, refused_as_one, report, usage_event

logger = logging.getLogger("latchkey_client")


class AsyncUsageRecorder:
    """As UsageRecorder; call `record` from within the event loop."""

    def __init__(
        self,
        transport: AsyncTransport,
        buffer: Buffer,
        *,
        flush_seconds: float = 1.0,
        on_rejected: Rejected | None = None,
    ) -> None:
        self._transport = transport
        self._buffer = buffer
        self._flush_seconds = flush_seconds
        self._on_rejected = on_rejected
        self._sending = asyncio.Lock()
        self._wake = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def record(self, meter: str, user_id: str, quantity: int | str = 1, **more: Any) -> str:
        """Buffer one event; its id. Raises BufferFull rather than forget one."""
        event = usage_event(meter, user_id, quantity, **more)
        self._buffer.put(event)
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work())
        if len(self._buffer) >= MOST_AT_ONCE:
            self._wake.set()
        return str(event["id"])

    async def flush(self) -> int:
        """Send all that waits. How many were sent. Raises when the service cannot be reached;
        they wait on then.
        """
        sent = 0
        async with self._sending:
            while batch := self._buffer.first(MOST_AT_ONCE):
                for receipt in await self._send(batch):
                    report(receipt, self._on_rejected)
                self._buffer.done(batch)
                sent += len(batch)
        return sent

    def __len__(self) -> int:
        return len(self._buffer)

    async def close(self) -> None:
        """Send what waits, once, and stop the task."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._wake.set()
            await self._task
        try:
            await self.flush()
        except LatchkeyError as error:
            logger.warning("%d usage events were not sent: %s", len(self._buffer), error)
        self._buffer.close()

    async def _send(self, batch: list[Json]) -> list[Receipt]:
        try:
            return (await self._transport.send(calls.record(batch)))[0]
        except ApiError as error:
            if error.status in (401, 403, 429) or len(batch) == 1:
                return refused_as_one(batch, error)
            # One of them makes the whole request unreadable: find it by halves.
            half = len(batch) // 2
            return await self._send(batch[:half]) + await self._send(batch[half:])

    async def _work(self) -> None:
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._flush_seconds)
            self._wake.clear()
            if self._closed:
                return  # whoever closes sends what is left
            try:
                await self.flush()
            except LatchkeyError as error:
                logger.warning("%d usage events wait: %s", len(self._buffer), error)
            except Exception:
                logger.exception("sending usage failed")
