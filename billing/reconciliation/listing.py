"""What Stripe's lists say, as rows that SQL can compare: one page is one COPY."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from billing import shapes
from billing.gateway import Object
from billing.ledger import refund_status
from billing.models import ListedObject
from billing.shapes import instant, ref
from keystore.models import Consumer

Owner = tuple[int, int, str]  # project, consumer, Stripe customer
Columns = dict[str, Any]

# Kind -> path and parameters. Money is listed for the last days only; disputes always all: they
# are few, and a bank decides weeks later.
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "customer": ("/v1/customers", {}),
    "subscription": ("/v1/subscriptions", {"status": "all"}),
    "charge": ("/v1/charges", {}),
    "refund": ("/v1/refunds", {}),
    "dispute": ("/v1/disputes", {}),
    "invoice": ("/v1/invoices", {}),
}
MONEY = frozenset({"charge", "refund", "invoice"})
OF_CHARGES = frozenset({"refund", "dispute"})  # whose owner is that of their charge
NO_PRICES: list[str] = []

# One array instead of a hundred parameters: this is asked for every page.
OWNERS = """
SELECT h.stripe_customer_id, h.project_id, coalesce(c.merged_into_id, c.id), h.stripe_customer_id
FROM billing_stripecustomer AS h JOIN keystore_consumer AS c ON c.id = h.consumer_id
WHERE h.stripe_customer_id = ANY(%s)
"""
OWNERS_BY_CHARGE = """
SELECT p.stripe_charge_id, p.project_id, p.consumer_id, c.stripe_customer_id
FROM billing_payment p JOIN billing_stripecustomer c ON c.consumer_id = p.consumer_id
WHERE p.stripe_charge_id = ANY(%s)
"""


class Listed(NamedTuple):
    """One row of `ListedObject`; the fields are its columns, in this order."""

    batch: str
    kind: str
    stripe_id: str
    listed_at: datetime
    project_id: int
    consumer_id: int
    stripe_customer_id: str
    parent_id: str = ""
    status: str = ""
    price_ids: Sequence[str] = NO_PRICES
    quantity: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    cancel_at: datetime | None = None
    trial_end: datetime | None = None
    paused: bool | None = None
    paid_until: datetime | None = None
    amount_minor: int | None = None
    other_minor: int | None = None
    gone: bool = False
    made_at: datetime | None = None


COPY = f"COPY {ListedObject._meta.db_table} ({', '.join(Listed._fields)}) FROM STDIN"


def listed_rows(
    *, kind: str, found: Sequence[Object], batch: str, project_id: int | None, at: datetime
) -> list[Listed]:
    """Those of the objects that belong to a consumer here (of the project, if one is given)."""
    said = _SAID[kind]
    owners = _owners(kind, found)
    rows = []
    for each in found:
        owner = owners.get(_owner_key(kind, each))
        if owner is not None and project_id in (None, owner[0]):
            rows.append(Listed(batch, kind, each["id"], at, *owner, **said(each)))
    return rows


def gone_row(
    *, kind: str, stripe_id: str, word: str, batch: str, owner: Owner, at: datetime
) -> Listed:
    """That Stripe, asked for this one object, does not have it (any more)."""
    return Listed(batch, kind, stripe_id, at, *owner, status=word, gone=True)


def keep(rows: Iterable[Listed]) -> None:
    """Write rows; inside the transaction that moves the run's cursor past them."""
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            copy.write_row(row)


def forget(*, batch: str, kind: str | None = None) -> None:
    rows = ListedObject.objects.filter(batch=batch)
    (rows if kind is None else rows.filter(kind=kind)).delete()


def _owner_key(kind: str, found: Object) -> str:
    if kind == "customer":
        return str(found["id"])
    return ref(found["charge" if kind in OF_CHARGES else "customer"])


def _owners(kind: str, found: Sequence[Object]) -> dict[str, Owner]:
    """Whose the objects are: by their customer, a refund or dispute by its charge."""
    keys = list({_owner_key(kind, each) for each in found} - {""})
    with connection.cursor() as cursor:
        cursor.execute(OWNERS_BY_CHARGE if kind in OF_CHARGES else OWNERS, [keys])
        owners: dict[str, Owner] = {row[0]: row[1:] for row in cursor.fetchall()}
    if kind == "customer" and len(owners) < len(keys):
        owners |= _owners_by_mark(found, owners)
    return owners


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


def _customer(found: Object) -> Columns:
    return {"made_at": instant(found["created"])}


def _subscription(found: Object) -> Columns:
    facts = shapes.subscription(found)
    return {
        "parent_id": facts.checkout_public_id,
        "status": facts.status,
        "price_ids": [item.stripe_price_id for item in facts.items],
        "quantity": facts.items[0].quantity if facts.items else 0,
        "period_start": facts.current_period_start,
        "period_end": facts.current_period_end,
        "cancel_at": facts.cancel_at,
        "trial_end": facts.trial_end,
        "paused": facts.paused,
        "paid_until": facts.paid_until,
        "made_at": instant(found["created"]),
    }


def _charge(found: Object) -> Columns:
    facts = shapes.charge(found)
    return {
        "status": f"{facts.status}, disputed" if facts.disputed else facts.status,
        "amount_minor": facts.captured_minor,
        "other_minor": found["amount_refunded"],
        "made_at": facts.created_at,
    }


def _refund(found: Object) -> Columns:
    return {
        "parent_id": ref(found["charge"]),
        "status": str(refund_status(found["status"])),
        "amount_minor": found["amount"],
        "made_at": instant(found["created"]),
    }


def _dispute(found: Object) -> Columns:
    return {
        "parent_id": ref(found["charge"]),
        "status": found["status"],
        "amount_minor": found["amount"],
        "made_at": instant(found["created"]),
    }


def _invoice(found: Object) -> Columns:
    return {
        "status": found["status"] or "draft",
        "amount_minor": found["total"],
        "other_minor": found["amount_paid"],
        "made_at": instant(found["created"]),
    }


# What each kind of object says, as the columns that it fills.
_SAID: dict[str, Callable[[Object], Columns]] = {
    "customer": _customer,
    "subscription": _subscription,
    "charge": _charge,
    "refund": _refund,
    "dispute": _dispute,
    "invoice": _invoice,
}
