"""What working an event off again would change, in words, without changing it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import models

from billing import gateway
from billing.inbox import NotReplayable, resolve_customer, touched_by
from billing.models import (
    Checkout,
    InboxEvent,
    Invoice,
    Operation,
    Payment,
    Purchase,
    Refund,
    Subscription,
)
from billing.receipt import reason_to_ignore
from billing.sync import NotOurs, rehearse_sync
from entitlements.models import Grant
from keystore.models import ApiKey, Consumer

Clock = Callable[[], datetime]
Row = dict[str, Any]
State = dict[tuple[str, str], Row]  # (what it is, its name) -> its fields

UNTOLD = frozenset({"id", "synced_at", "created_at", "digest", "last_used_at"})
NOTHING = "Nothing would change."
# What is shown of a consumer: the table, the field that names a row, the way to its consumer.
TABLES: tuple[tuple[type[models.Model], str, str], ...] = (
    (Subscription, "stripe_subscription_id", "consumer"),
    (Payment, "stripe_charge_id", "consumer"),
    (Refund, "stripe_refund_id", "payment__consumer"),
    (Invoice, "stripe_invoice_id", "consumer"),
    (Checkout, "public_id", "consumer"),
    (Purchase, "public_id", "consumer"),
    (Grant, "public_id", "consumer"),
    (ApiKey, "public_id", "consumer"),
)


def preview_replay(*, event: InboxEvent, clock: Clock) -> list[str]:
    """What a replay of the event would change now; never writes. Raises StripeUnavailable."""
    why = reason_to_ignore(event.payload)
    if why:
        raise NotReplayable(f"{event.event_id} cannot be replayed: {why}.")
    try:
        customer_id = event.stripe_customer_id or resolve_customer(event)
        if customer_id:
            return preview_sync(customer_id=customer_id, event=event, clock=clock) or [NOTHING]
    except NotOurs as reason:
        return [f"It would be ignored: {reason}."]
    except gateway.StripeMissing as missing:
        return [f"It would be ignored: {missing.message}"]
    if event.type.startswith(("product.", "price.")):
        return [f"The catalogue's {event.object_id} would be read from Stripe again."]
    return [f"It would be ignored: nothing here follows {event.type} without a customer."]


def preview_sync(*, customer_id: str, event: InboxEvent, clock: Clock) -> list[str]:
    return rehearse_sync(
        stripe_customer_id=customer_id,
        clock=clock,
        touched=[touched_by(event)],
        compare=_watch,
    )


def _watch(consumer: Consumer) -> Callable[[], list[str]]:
    before, last = _state_of(consumer), Operation.objects.order_by("-pk").first()

    def differences() -> list[str]:
        return [*told(before, _state_of(consumer)), *_wanted(consumer, last.pk if last else 0)]

    return differences


def _state_of(consumer: Consumer) -> State:
    found: State = {}
    for model, name, owner in TABLES:
        kind = str(model._meta.verbose_name)
        for row in model._default_manager.filter(**{owner: consumer}).values():
            found[kind, str(row[name] or row["id"])] = row
    return found


def _wanted(consumer: Consumer, last_pk: int) -> list[str]:
    """Calls that the sync would make, such as the end of a double subscription."""
    own = consumer.subscriptions.values("stripe_subscription_id")
    wanted = Operation.objects.filter(pk__gt=last_pk, subject__in=own)
    return [f"Stripe would be asked to {one.kind} {one.subject}." for one in wanted]


def told(before: State, after: State) -> list[str]:
    """The differences of two states, one sentence for each row."""
    return [
        sentence
        for key in [*before, *(key for key in after if key not in before)]
        if (sentence := _sentence(*key, before.get(key), after.get(key)))
    ]


def _sentence(kind: str, name: str, before: Row | None, after: Row | None) -> str:
    if after is None:
        return f"{kind} {name} would be removed."
    if before is None:
        state = after.get("status") or after.get("state") or after.get("source") or ""
        return f"{kind} {name if kind != 'API key' else ''} would be made ({state}).".replace(
            " ()", ""
        ).replace("  ", " ")
    if kind in ("grant", "API key") and after["revoked_at"] and not before["revoked_at"]:
        return f"{kind} {name} would be revoked."
    changes = [
        f"{field} {_shown(before[field])} -> {_shown(value)}"
        for field, value in after.items()
        if field not in UNTOLD and before[field] != value
    ]
    return f"{kind} {name}: {', '.join(changes)}." if changes else ""


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "none" if value in (None, "") else str(value)
