"""Each call of the API as a value: what to send, and how to read the answer. No network."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

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

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """`headers` of the call beside the key; `read` makes its result of the answer's JSON."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: dict[str, str] = field(default_factory=dict)
    body: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)


def new_key() -> str:
    """Names one wish: every try of it carries the same key, so it happens once."""
    return uuid.uuid4().hex


def entitlements(user_id: str, etag: str = "") -> Call[Entitlements]:
    headers = {"If-None-Match": etag} if etag else {}
    return Call(
        "GET", "/api/v1/entitlements", Entitlements.read, {"user_id": user_id}, headers=headers
    )


def check(
    user_id: str, feature_code: str, *, quantity: int | str | None, consume: bool, key: str
) -> Call[Check]:
    body: Json = {"user_id": user_id, "feature_code": feature_code}
    if quantity is not None:
        body["quantity"] = quantity
    if consume:
        body["consume"] = True
    headers = {"Idempotency-Key": key} if consume else {}
    return Call("POST", "/api/v1/check", Check.read, body=body, headers=headers)


def verify(
    key: str, *, scopes: Sequence[str] = (), feature: str = "", api: str = "", ip: str = ""
) -> Call[Verification]:
    body: Json = {"key": key, "scopes": list(scopes), "feature": feature, "api": api, "ip": ip}
    return Call("POST", "/api/v1/keys/verify", Verification.read, body=body)


def record(events: Sequence[Json]) -> Call[list[Receipt]]:
    """Safe to repeat: each event has an id of its own."""
    return Call(
        "POST",
        "/api/v1/usage/events",
        lambda told: [Receipt.read(one) for one in told["events"]],
        body={"events": list(events)},
    )


def quota(user_id: str) -> Call[list[Quota]]:
    return Call(
        "GET",
        "/api/v1/quota",
        lambda told: [Quota.read(one) for one in told["quotas"]],
        {"user_id": user_id},
    )


def reserve(
    user_id: str, meter: str, quantity: int | str, *, ttl_seconds: int, key: str
) -> Call[Reservation]:
    body: Json = {
        "user_id": user_id,
        "meter": meter,
        "quantity": quantity,
        "ttl_seconds": ttl_seconds,
    }
    return Call(
        "POST",
        "/api/v1/quota/reservations",
        Reservation.read,
        body=body,
        headers={"Idempotency-Key": key},
    )


def end_reservation(
    reservation_id: str, act: str, *, quantity: int | str | None, key: str
) -> Call[Reservation]:
    """`act` is settle or release."""
    return Call(
        "POST",
        f"/api/v1/quota/reservations/{quote(reservation_id, safe='')}/{act}",
        Reservation.read,
        body={} if quantity is None else {"quantity": quantity},
        headers={"Idempotency-Key": key},
    )


def checkout(body: Json, *, key: str) -> Call[CheckoutSession]:
    return Call(
        "POST",
        "/api/v1/checkout/session",
        CheckoutSession.read,
        body=body,
        headers={"Idempotency-Key": key},
    )


def checkout_state(reference: str) -> Call[CheckoutSession]:
    return Call(
        "GET", f"/api/v1/checkout/session/{quote(reference, safe='')}", CheckoutSession.read
    )


def portal(user_id: str, return_url: str, *, key: str) -> Call[PortalSession]:
    return Call(
        "POST",
        "/api/v1/portal/session",
        PortalSession.read,
        body={"user_id": user_id, "return_url": return_url},
        headers={"Idempotency-Key": key},
    )
