"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from latchkey_client import calls
from latchkey_client.aio_usage import AsyncUsageRecorder
from latchkey_client.answers import (
    Check,
    CheckoutSession,
    Entitlements,
    Json,
    PortalSession,
    Quota,
    Receipt,
    Reservation,
    Verification,
)
from latchkey_client.buffer import Buffer, DiskBuffer, MemoryBuffer
from latchkey_client.cache import AnswerCache
from latchkey_client.errors import Unreachable
from latchkey_client.policy import FailPolicy, Retries
from latchkey_client.transport import AsyncTransport, NotModified
from latchkey_client.usage import Rejected

UNREACHABLE = "UNREACHABLE"


class AsyncLatchkey:
    """One per event loop; close it, or use it as a context manager.

    `cache_seconds`: for how long an answer about a user serves without asking again.
    `stale_seconds`: for how long the last answer stands in while the service is gone.
    `spool`: a file that keeps unsent usage over restarts; without it they live in memory.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 5.0,
        retries: Retries | None = None,
        fail_policy: FailPolicy | None = None,
        cache_seconds: float = 0.0,
        stale_seconds: float = 3600.0,
        cache_size: int = 10_000,
        spool: str | Path | None = None,
        buffer_size: int = 100_000,
        flush_seconds: float = 1.0,
        on_rejected: Rejected | None = None,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own_http = http is None
        http = http or httpx.AsyncClient(timeout=timeout_seconds)
        http.base_url = httpx.URL(base_url)
        http.headers["X-API-Key"] = api_key
        self._transport = AsyncTransport(http, retries or Retries())
        self._policy = fail_policy or FailPolicy()
        self._cache = AnswerCache(
            fresh_seconds=cache_seconds, stale_seconds=stale_seconds, size=cache_size, clock=clock
        )
        buffer: Buffer = DiskBuffer(spool, buffer_size) if spool else MemoryBuffer(buffer_size)
        self.usage = AsyncUsageRecorder(
            self._transport, buffer, flush_seconds=flush_seconds, on_rejected=on_rejected
        )

    async def __aenter__(self) -> AsyncLatchkey:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send the usage that waits, and close the connections."""
        await self.usage.close()
        if self._own_http:
            await self._transport.http.aclose()

    async def entitlements(self, user_id: str) -> Entitlements:
        """What the user may use; of memory while it is fresh, or while the service is gone."""
        fresh = self._cache.fresh(user_id)
        if fresh is not None:
            return fresh
        try:
            return await self._ask(user_id, self._cache.etag(user_id))
        except Unreachable:
            stale = self._cache.stale(user_id)
            if stale is None:
                raise
            return stale

    def forget(self, user_id: str) -> None:
        """Ask anew the next time: call it when a webhook tells `entitlements.changed`."""
        self._cache.forget(user_id)

    async def has_feature(self, user_id: str, feature_code: str) -> bool:
        """Whether the feature is open; if nobody knows, what the fail policy says."""
        try:
            answer = await self.entitlements(user_id)
        except Unreachable:
            return self._policy.lets_in(feature_code)
        return answer.allows(feature_code, datetime.now(UTC))

    async def check(
        self,
        user_id: str,
        feature_code: str,
        *,
        quantity: int | str | None = None,
        consume: bool = False,
        idempotency_key: str = "",
    ) -> Check:
        """Whether `quantity` fits now; `consume` takes it in the same call, once per key."""
        call = calls.check(
            user_id,
            feature_code,
            quantity=quantity,
            consume=consume,
            key=idempotency_key or calls.new_key(),
        )
        try:
            return (await self._transport.send(call))[0]
        except Unreachable:
            return self._fallback(user_id, feature_code, quantity)

    async def verify(
        self,
        key: str,
        *,
        scopes: Sequence[str] = (),
        feature: str = "",
        api: str = "",
        ip: str = "",
    ) -> Verification:
        """What a consumer's key may do. Never remembered: a revoked key must not open anything."""
        call = calls.verify(key, scopes=scopes, feature=feature, api=api, ip=ip)
        return (await self._transport.send(call))[0]

    async def record_now(self, events: Sequence[Json]) -> list[Receipt]:
        """Send events of `usage_event` at once, at most 1,000, and tell what became of each."""
        return (await self._transport.send(calls.record(events)))[0]

    async def quota(self, user_id: str) -> list[Quota]:
        return (await self._transport.send(calls.quota(user_id)))[0]

    async def reserve(
        self, user_id: str, meter: str, quantity: int | str, *, ttl_seconds: int = 300
    ) -> Reservation:
        """Keep a part of the quota for a use that is about to happen."""
        call = calls.reserve(user_id, meter, quantity, ttl_seconds=ttl_seconds, key=calls.new_key())
        return (await self._transport.send(call))[0]

    async def settle(self, reservation_id: str, quantity: int | str | None = None) -> Reservation:
        """The use is over: it took `quantity`, or all that was kept."""
        call = calls.end_reservation(
            reservation_id, "settle", quantity=quantity, key=calls.new_key()
        )
        return (await self._transport.send(call))[0]

    async def release(self, reservation_id: str) -> Reservation:
        """The use did not happen."""
        call = calls.end_reservation(reservation_id, "release", quantity=None, key=calls.new_key())
        return (await self._transport.send(call))[0]

    async def create_checkout(
        self, user_id: str, *, success_url: str, idempotency_key: str = "", **more: Any
    ) -> CheckoutSession:
        """Begin a checkout of a `plan` or `price_id`; send the buyer to its `url`."""
        body: Json = {"user_id": user_id, "success_url": success_url, **more}
        call = calls.checkout(body, key=idempotency_key or calls.new_key())
        return (await self._transport.send(call))[0]

    async def checkout(self, reference: str) -> CheckoutSession:
        """What came of a checkout."""
        return (await self._transport.send(calls.checkout_state(reference)))[0]

    async def create_portal(self, user_id: str, *, return_url: str) -> PortalSession:
        call = calls.portal(user_id, return_url, key=calls.new_key())
        return (await self._transport.send(call))[0]

    async def _ask(self, user_id: str, etag: str) -> Entitlements:
        try:
            answer, headers = await self._transport.send(calls.entitlements(user_id, etag))
        except NotModified:
            return self._cache.still_right(user_id) or await self._ask(user_id, "")
        self._cache.keep(answer, user_id, headers.get("ETag", ""))
        return answer

    def _fallback(self, user_id: str, feature_code: str, quantity: int | str | None) -> Check:
        """A question about an amount cannot be answered from memory: the policy decides it."""
        stale = self._cache.stale(user_id) if not quantity else None
        if stale is not None:
            allowed = stale.allows(feature_code, datetime.now(UTC))
            reason = "The service did not answer: told from memory."
        else:
            allowed = self._policy.lets_in(feature_code)
            reason = "The service did not answer: told by the fail policy."
        return Check(allowed=allowed, code=UNREACHABLE, reason=reason, fallback=True)
