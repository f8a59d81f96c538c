"""Which of our columns a sync changed, each with its entry in the audit trail.

The columns are read before and after, so that the projections need not know who watches them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from billing.models import (
    Checkout,
    CreditNote,
    Dispute,
    Invoice,
    Payment,
    Purchase,
    Refund,
    StripeCustomer,
    Subscription,
)
from billing.snapshot import Snapshot
from keystore import audit
from keystore.models import Consumer

Columns = dict[str, Any]
Rows = dict[tuple[type[models.Model], int], Columns]


@dataclass(frozen=True)
class Watched:
    """A table whose rows follow objects of one Stripe type. `name` is told with every change."""

    model: type[models.Model]
    name: str
    columns: tuple[str, ...]
    found_by: str = ""  # the column with Stripe's id; "": the same as `name`
    of: str = ""  # the type whose ids select the rows; "": the row's own

    @property
    def lookup(self) -> str:
        return f"{self.found_by or self.name}__in"


SUBSCRIPTION = (
    *("status", "plan__code", "quantity", "mrr_minor", "current_period_end"),
    *("cancel_at", "trial_end", "paused"),
)
WATCHED = {
    "subscription": Watched(Subscription, "stripe_subscription_id", SUBSCRIPTION),
    "charge": Watched(
        Payment,
        "stripe_charge_id",
        ("status", "captured_minor", "currency", "disputed", "failure_message"),
    ),
    "invoice": Watched(
        Invoice, "stripe_invoice_id", ("status", "total_minor", "paid_minor", "currency")
    ),
    "refund": Watched(
        Refund,
        "stripe_refund_id",
        ("status", "amount_minor", "currency"),
        found_by="payment__stripe_charge_id",
        of="charge",
    ),
    "checkout.session": Watched(Checkout, "public_id", ("state",), found_by="stripe_session_id"),
    "dispute": Watched(Dispute, "stripe_dispute_id", ("status", "amount_minor", "currency")),
    "credit_note": Watched(
        CreditNote, "stripe_credit_note_id", ("status", "amount_minor", "currency")
    ),
}
OF_CUSTOMER = Watched(StripeCustomer, "stripe_customer_id", ("deleted_at",))
OF_SALE = Watched(Purchase, "public_id", ("state", "amount_minor", "currency"))


def columns_of(taken: Snapshot, consumer: Consumer) -> Rows:
    """What our rows say now about the objects that were read."""
    rows: Rows = {}
    for kind, watched in WATCHED.items():
        ids = [found["id"] for found in taken.of(watched.of or kind)]
        if ids:
            rows |= _read(watched, models.Q(**{watched.lookup: ids}))
    if taken.of("charge") or taken.of("checkout.session"):
        rows |= _read(OF_SALE, models.Q(consumer=consumer))
    return rows | _read(OF_CUSTOMER, models.Q(consumer=consumer))


def _read(watched: Watched, where: models.Q) -> Rows:
    found = watched.model._default_manager.filter(where)
    read = found.values("pk", watched.name, *watched.columns)
    return {(watched.model, row.pop("pk")): row for row in read}


def record_changes(
    *, before: Rows, after: Rows, consumer: Consumer, actor: str, at: datetime
) -> list[str]:
    """One audit entry for each row that is new or differs; returns what they say, in short."""
    told = []
    for place, now in after.items():
        was = before.get(place)
        if was != now:
            _record(place, was, now, consumer, actor, at)
            told.append(f"{place[0]._meta.model_name} {_name(place[0], now)}")
    return told


def _record(
    place: tuple[type[models.Model], int],
    was: Columns | None,
    now: Columns,
    consumer: Consumer,
    actor: str,
    at: datetime,
) -> None:
    model, pk = place
    changed = [name for name in now if was is None or was[name] != now[name]]
    audit.record(
        actor=actor,
        act=f"{model._meta.model_name}.{'add' if was is None else 'change'}",
        target=model(pk=pk, **_names(model, now)),
        project=consumer.project,
        consumer=consumer,
        before=None if was is None else {name: was[name] for name in changed},
        after={**_names(model, now), **{name: now[name] for name in changed}},
        at=at,
    )


def _name(model: type[models.Model], now: Columns) -> str:
    return next(iter(_names(model, now).values()))


def _names(model: type[models.Model], now: Columns) -> dict[str, str]:
    """The ids among the columns, which people search for."""
    return {name: value for name, value in now.items() if name == "public_id" or _is_id(name)}


def _is_id(name: str) -> bool:
    return name.startswith("stripe_") and name.endswith("_id")
