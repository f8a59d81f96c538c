"""What Stripe's lists say, as rows that SQL can compare: one page is one COPY."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from billing import shapes
from billing.gateway import Object
from billing.ledger import refund_status
from billing.models import ListedObject, Payment, StripeCustomer
from billing.shapes import instant, ref
from keystore.models import Consumer

# Kind -> path and parameters. Money is listed for the last days only.
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "customer": ("/v1/customers", {}),
    "subscription": ("/v1/subscriptions", {"status": "all"}),
    "charge": ("/v1/charges", {}),
    "refund": ("/v1/refunds", {}),
    "invoice": ("/v1/invoices", {}),
}
MONEY = frozenset({"charge", "refund", "invoice"})


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of `ListedObject`; the fields are its columns, in this order."""

    batch: str
    kind: str
    stripe_id: str
    listed_at: datetime
    stripe_customer_id: str = ""
    parent_id: str = ""
    project_id: int | None = None
    consumer_id: int | None = None
    status: str = ""
    price_ids: list[str] = field(default_factory=list)
    quantity: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    trial_end: datetime | None = None
    amount_minor: int | None = None
    other_minor: int | None = None
    gone: bool = False
    made_at: datetime | None = None


COLUMNS = ", ".join(Listed.__dataclass_fields__)
# Not `astuple`: it copies every value deeply, which was most of the cost of a page.
as_row = attrgetter(*Listed.__dataclass_fields__)
COPY = f"COPY {ListedObject._meta.db_table} ({COLUMNS}) FROM STDIN"


def listed_rows(
    *, kind: str, found: Iterable[Object], batch: str, project_id: int | None, at: datetime
) -> list[Listed]:
    """Those of the objects that belong to a consumer here (of the project, if one is given)."""
    make = _MAKERS[kind]
    rows = [make(each, Listed(batch, kind, each["id"], at)) for each in found]
    owners = _owners_of_refunds(rows) if kind == "refund" else _owners(rows)
    if kind == "customer":
        owners |= _owners_by_mark(found, owners)
    owned = [(row, owners.get(_owner_key(row))) for row in rows]
    return [
        replace(row, project_id=owner[0], consumer_id=owner[1], stripe_customer_id=owner[2])
        for row, owner in owned
        if owner is not None and project_id in (None, owner[0])
    ]


def gone_row(
    *, kind: str, stripe_id: str, word: str, batch: str, owner: tuple[int, int, str], at: datetime
) -> Listed:
    """That Stripe, asked for this one object, does not have it (any more)."""
    row = Listed(batch, kind, stripe_id, at, status=word, gone=True)
    return replace(row, project_id=owner[0], consumer_id=owner[1], stripe_customer_id=owner[2])


def keep(rows: Iterable[Listed]) -> None:
    """Write rows; inside the transaction that moves the run's cursor past them."""
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            copy.write_row(as_row(row))


def forget(*, batch: str, kind: str | None = None) -> None:
    rows = ListedObject.objects.filter(batch=batch)
    (rows if kind is None else rows.filter(kind=kind)).delete()


Owner = tuple[int, int, str]  # project, consumer, Stripe customer


def _owner_key(row: Listed) -> str:
    return row.parent_id if row.kind == "refund" else row.stripe_customer_id


def _owners(rows: list[Listed]) -> dict[str, Owner]:
    wanted = {row.stripe_customer_id for row in rows} - {""}
    found = StripeCustomer.objects.filter(stripe_customer_id__in=wanted)
    values = found.values_list("stripe_customer_id", "project_id", "consumer_id")
    return {customer: (project, consumer, customer) for customer, project, consumer in values}


def _owners_by_mark(found: Iterable[Object], known: dict[str, Owner]) -> dict[str, Owner]:
    """Customers that nobody here has, though their metadata names a consumer without one."""
    marks = {
        (each.get("metadata") or {}).get("latchkey_consumer"): each["id"]
        for each in found
        if each["id"] not in known and each.get("livemode") is settings.STRIPE_LIVE_MODE
    }
    marks.pop(None, None)
    lonely = Consumer.objects.filter(public_id__in=marks, stripe_customer=None)
    return {
        marks[public_id]: (project, pk, marks[public_id])
        for pk, project, public_id in lonely.values_list("pk", "project_id", "public_id")
    }


def _owners_of_refunds(rows: list[Listed]) -> dict[str, Owner]:
    charges = Payment.objects.filter(stripe_charge_id__in={row.parent_id for row in rows})
    charges = charges.filter(~Q(consumer__stripe_customer=None))
    values = charges.values_list(
        "stripe_charge_id",
        "project_id",
        "consumer_id",
        "consumer__stripe_customer__stripe_customer_id",
    )
    return {charge: (project, consumer, cus) for charge, project, consumer, cus in values}


def _customer(found: Object, row: Listed) -> Listed:
    return replace(row, stripe_customer_id=found["id"], made_at=instant(found["created"]))


def _subscription(found: Object, row: Listed) -> Listed:
    facts = shapes.subscription(found)
    return replace(
        row,
        stripe_customer_id=ref(found["customer"]),
        status=facts.status,
        price_ids=[item.stripe_price_id for item in facts.items],
        quantity=facts.items[0].quantity if facts.items else 0,
        period_start=facts.current_period_start,
        period_end=facts.current_period_end,
        cancel_at=facts.cancel_at,
        trial_end=facts.trial_end,
        made_at=instant(found["created"]),
    )


def _charge(found: Object, row: Listed) -> Listed:
    facts = shapes.charge(found)
    return replace(
        row,
        stripe_customer_id=ref(found["customer"]),
        status=f"{facts.status}, disputed" if facts.disputed else facts.status,
        amount_minor=facts.captured_minor,
        other_minor=found["amount_refunded"],
        made_at=facts.created_at,
    )


def _refund(found: Object, row: Listed) -> Listed:
    return replace(
        row,
        parent_id=ref(found["charge"]),
        status=str(refund_status(found["status"])),
        amount_minor=found["amount"],
        made_at=instant(found["created"]),
    )


def _invoice(found: Object, row: Listed) -> Listed:
    return replace(
        row,
        stripe_customer_id=ref(found["customer"]),
        status=found["status"] or "draft",
        amount_minor=found["total"],
        other_minor=found["amount_paid"],
        made_at=instant(found["created"]),
    )


_MAKERS = {
    "customer": _customer,
    "subscription": _subscription,
    "charge": _charge,
    "refund": _refund,
    "invoice": _invoice,
}
