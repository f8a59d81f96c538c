"""The requests of every path, and what must be answered."""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Sequence

import orjson

from bench import data
from bench.gun import Shot, request
from bench.servers import SECRET

JSON = ("Content-Type", "application/json")
THROUGH_TLS = ("X-Forwarded-Proto", "https")  # as the proxy in front says
Shots = Callable[[int, int], Sequence[Shot]]


def with_app_key(*more: tuple[str, str]) -> list[tuple[str, str]]:
    return [("X-API-Key", data.APP_KEY), THROUGH_TLS, *more]


def share_of(shots: Sequence[Shot]) -> Shots:
    """The same requests for all; each process begins elsewhere and takes its part."""
    return lambda part, parts: shots[part::parts]


def always(raw: bytes, answer: bytes) -> Shots:
    """One request again and again."""
    return share_of([(raw, answer)] * 64)


def new_ids(count: int) -> list[str]:
    """UUIDs version 7, as the client library makes them: they grow with time."""
    at = f"{int(time.time() * 1000):012x}"
    chance = os.urandom(8 * count).hex()
    return [
        f"{at[:8]}-{at[8:]}-7{n & 0xFFF:03x}-8{chance[16 * n : 16 * n + 3]}"
        f"-{chance[16 * n + 4 : 16 * n + 16]}"
        for n in range(count)
    ]


def events(
    path: str,
    *,
    count: int,
    size: int,
    users: int,
    told: Callable[[str, str], dict[str, object]],
    answer: bytes,
    enveloped: str = "",
) -> Shots:
    """`count` requests of `size` new events each, spread over the users; 0: one by itself."""

    def made(part: int, parts: int) -> list[Shot]:
        shots = []
        each = max(1, size)
        ids = new_ids(count // parts * each)
        for number in range(count // parts):
            batch = []
            for place in range(number * each, (number + 1) * each):
                batch.append(told(ids[place], f"user_{(place * parts + part) % users}"))
            body: object = batch if size else batch[0]
            raw = orjson.dumps({enveloped: body} if enveloped and size else body)
            shots.append((request("POST", path, with_app_key(JSON), raw), answer))
        return shots

    return made


def stripe_events(path: str, *, count: int, customers: Sequence[str], answer: bytes) -> Shots:
    """Signed events about customers of Stripe's, each with an id of its own."""

    def made(part: int, parts: int) -> list[Shot]:
        shots = []
        run = os.urandom(6).hex()
        at = int(time.time())
        for number in range(count // parts):
            name = f"evt_{run}{part}x{number}"
            body = _event(name, customers[(number * parts + part) % len(customers)], at)
            signed = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
            signature = ("Stripe-Signature", f"t={at},v1={signed.hexdigest()}")
            headers = [JSON, THROUGH_TLS, signature]
            shots.append((request("POST", path, headers, body), answer))
        return shots

    return made


def _event(name: str, customer: str, at: int) -> bytes:
    """About as large as Stripe's own."""
    told = {
        **{"id": customer, "object": "customer", "address": None, "balance": 0, "created": at},
        **{"currency": "usd", "default_source": None, "delinquent": False, "description": None},
        **{"email": "user@example.com", "invoice_prefix": "0759376C", "livemode": False},
        "invoice_settings": {"custom_fields": None, "default_payment_method": None},
        **{"metadata": {}, "name": "A", "phone": None, "preferred_locales": [], "shipping": None},
    }
    event = {
        **{"id": name, "object": "event", "api_version": "2025-03-31.basil", "created": at},
        **{"data": {"object": told, "previous_attributes": {"name": "B"}}, "livemode": False},
        **{"pending_webhooks": 1, "request": {"id": None, "idempotency_key": None}},
        "type": "customer.updated",
    }
    return json.dumps(event).encode()
