"""Taking in what Stripe sends: verify, keep, acknowledge. Nothing is worked on here.

Pure but for one INSERT, so that an acknowledgement never waits for Stripe, Redis or a worker.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from billing import gateway
from billing.models import InboxState
from billing.shapes import instant, ref
from config.errors import DomainError
from keystore.correlation import current_request_id

MAX_BYTES = 1_000_000
LONGEST_ID = 255

WORK = "billing.tasks.work_inbox"  # rung when there is something to do

INSERT = """
INSERT INTO billing_inboxevent
    (event_id, type, livemode, account, stripe_created_at, object_id, stripe_customer_id, payload,
     state, note, attempts, deliveries, next_attempt_at, last_error, failure, request_id,
     received_at, finished_at)
VALUES
    (%(event_id)s, %(type)s, %(livemode)s, %(account)s, %(stripe_created_at)s, %(object_id)s,
     %(stripe_customer_id)s, %(payload)s, %(state)s, %(note)s, 0, %(delivered)s, %(at)s, '', '',
     %(request_id)s, %(at)s, %(finished_at)s)
ON CONFLICT (event_id)
    DO UPDATE SET deliveries = billing_inboxevent.deliveries + EXCLUDED.deliveries
RETURNING state, xmax = 0
"""
NAMES = (
    "event_id",
    "type",
    "livemode",
    "account",
    "stripe_created_at",
    "object_id",
    "stripe_customer_id",
    "payload",
    "state",
    "note",
    "request_id",
    "delivered",
    "at",
    "finished_at",
)
# The same for libpq, which numbers what it is given.
PREPARED_NAME = b"keep_event"
PREPARED = (INSERT % {name: f"${number}" for number, name in enumerate(NAMES, 1)}).encode()

Values = dict[str, Any]
Insert = Callable[[Values], tuple[str, bool]]


# What is followed of connected accounts, which are creators'; the rest is theirs.
OF_CREATORS = ("account.updated", "payout.")


class BodyTooLarge(DomainError):
    code = "body_too_large"
    status = 413


class NotSigned(DomainError):
    """No configured secret signed the body recently."""

    code = "signature_invalid"
    status = 400


class NotAnEvent(DomainError):
    code = "not_an_event"
    status = 400


@dataclass(frozen=True)
class Receipt:
    event_id: str
    first_time: bool
    state: str

    def told(self) -> dict[str, object]:
        """What whoever delivered the event is answered."""
        return {"received": True, "event_id": self.event_id, "first_time": self.first_time}


def insert_here(values: Values) -> tuple[str, bool]:
    """By Django's connection. The event's state, and whether it is new."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT, values)
        state, first_time = cursor.fetchone()
    return state, first_time


def as_texts(values: Values) -> list[str | None]:
    """The values for PREPARED, in PostgreSQL's spelling."""
    return [_as_text(values[name]) for name in NAMES]


def receive(*, body: bytes, signature: str, at: datetime, insert: Insert = insert_here) -> Receipt:
    """Keep a verified event once, however often it is delivered.

    Raises BodyTooLarge, NotSigned or NotAnEvent; then nothing was stored.
    """
    if len(body) > MAX_BYTES:
        raise BodyTooLarge(f"Events are at most {MAX_BYTES} bytes.")
    verify(body=body, signature=signature, at=at)
    return keep(event=_parse(body), at=at, insert=insert)


def verify(*, body: bytes, signature: str, at: datetime) -> None:
    """Raise NotSigned unless a configured secret signed the body, within the tolerance of now
    on both sides.
    """
    signed_at = _signed_at(signature)
    tolerance = settings.STRIPE_WEBHOOK_TOLERANCE_SECONDS
    if signed_at is None or abs(at.timestamp() - signed_at) > tolerance:
        raise NotSigned(
            "The Stripe-Signature header is missing, malformed, or not from the last "
            f"{tolerance} s. Check the clock and the endpoint's configuration."
        )
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        if gateway.signed_by(body=body, header=signature, secret=secret):
            return
    raise NotSigned("No configured webhook secret made this signature.")


def _signed_at(signature: str) -> int | None:
    """The one time in the header. With two, Stripe's library might verify the other one, and a
    captured event could be sent again under a new time.
    """
    parts = [part.partition("=") for part in signature.split(",")]
    times = [value for name, _, value in parts if name.strip() == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 16):
        return None
    return int(times[0])


def _parse(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
        )
        if b"\\u" in body:  # nothing else can write what must be cleaned away
            found = _clean(found)
    except (ValueError, RecursionError) as problem:
        raise NotAnEvent("The body is not JSON that can be kept.") from problem
    if not isinstance(found, dict) or not _is_name(found.get("id")):
        raise NotAnEvent("The body has no event id.")
    if not _is_name(found.get("type")):
        raise NotAnEvent("The body has no event type.")
    return found


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number


def _clean(value: Any) -> Any:
    """Without what jsonb cannot hold: NUL characters and halves of surrogate pairs."""
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\x00", "")
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID


def keep(
    *,
    event: dict[str, Any],
    at: datetime,
    delivered: bool = True,
    insert: Insert = insert_here,
) -> Receipt:
    """Insert a verified event, or count one more delivery of it. One statement.

    Not `delivered`: it was found in Stripe's own list, and the webhook has not brought it.
    """
    reason = reason_to_ignore(event)
    inner = _inner(event)
    livemode = event.get("livemode")
    state, first_time = insert(
        {
            "event_id": event["id"],
            "type": event["type"][:100],
            "livemode": livemode if isinstance(livemode, bool) else None,
            "account": _text(event.get("account")),
            "stripe_created_at": _instant(event.get("created")),
            "object_id": _text(inner.get("id")),
            "stripe_customer_id": customer_of(inner),
            "payload": json.dumps(event),
            "state": InboxState.IGNORED if reason else InboxState.PENDING,
            "note": reason,
            "request_id": current_request_id(),
            "delivered": int(delivered),
            "at": at,
            "finished_at": at if reason else None,
        }
    )
    return Receipt(event["id"], first_time=first_time, state=state)


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def reason_to_ignore(event: dict[str, Any]) -> str:
    """Why an event must not change anything here; "" for one to work on."""
    livemode = event.get("livemode")
    if event.get("object") != "event":
        return "it does not say that it is an event"
    if not isinstance(livemode, bool):
        return "it does not say whether it is live or test"
    if livemode is not settings.STRIPE_LIVE_MODE:
        ours = "live" if settings.STRIPE_LIVE_MODE else "test"
        return f"not for this deployment: it works in {ours} mode"
    if event.get("account") and not str(event.get("type")).startswith(OF_CREATORS):
        return "it concerns a connected account"
    return ""


def _inner(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data")
    inner = data.get("object") if isinstance(data, dict) else None
    return inner if isinstance(inner, dict) else {}


def customer_of(inner: dict[str, Any]) -> str:
    """The Stripe customer that an object belongs to, as far as it says so itself."""
    owner = inner.get("id") if inner.get("object") == "customer" else inner.get("customer")
    found = ref(owner) if isinstance(owner, str | dict) else ""
    return _text(found)


def _text(value: object) -> str:
    return value[:LONGEST_ID] if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    if isinstance(value, int) and 0 < value < 2**33:
        return instant(value)
    return None
