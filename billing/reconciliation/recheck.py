"""What differs of one customer at this moment, asked of Stripe anew."""

from collections.abc import Callable
from datetime import datetime
from typing import cast

from django.db import transaction
from django.db.models import QuerySet

from billing import gateway
from billing.customers import find_holder
from billing.models import StripeCustomer, Subscription
from billing.reconciliation import listing
from billing.reconciliation.answers import stale_after
from billing.reconciliation.comparisons import COMPARISONS, Scope, differences
from billing.reconciliation.kinds import Difference
from billing.reconciliation.pace import Pace
from billing.reconciliation.trust import SETTLING, ask_for_one, known_live

Key = tuple[str, str, str]
LISTED = ("subscription", "charge", "invoice")


def differences_of(
    *, stripe_customer_id: str, pace: Pace, clock: Callable[[], datetime]
) -> dict[Key, Difference]:
    """Every difference of the customer, of all layers and all times.

    Raises StripeUnavailable, and StripeMissing for a customer that Stripe never knew.
    """
    batch = f"again:{stripe_customer_id}"
    customer = pace.read(f"/v1/customers/{stripe_customer_id}")
    holder = find_holder(stripe_customer_id=stripe_customer_id)
    rows = _customer_rows(customer, holder, batch, clock())
    found: list[tuple[str, list[gateway.Object]]] = []
    if not customer.get("deleted"):
        found = [(kind, _list(kind, stripe_customer_id, pace)) for kind in LISTED]
        charges = dict(found)["charge"]
        found.append(("refund", _of_charges("refund", charges, "amount_refunded", pace)))
        found.append(("dispute", _of_charges("dispute", charges, "disputed", pace)))
    for kind, objects in found:
        rows += listing.listed_rows(
            kind=kind, found=objects, batch=batch, project_id=None, at=clock()
        )
    rows += _missing_rows(holder, rows, batch, pace, clock())
    consumer_id = holder.consumer_id if holder else next((r.consumer_id for r in rows), None)
    return _compared(rows, batch, consumer_id, clock())


def _compared(
    rows: list[listing.Listed], batch: str, consumer_id: int | None, at: datetime
) -> dict[Key, Difference]:
    with transaction.atomic():
        listing.forget(batch=batch)
        listing.keep(rows)
    # Nothing is left out as too young: it was found before, and is looked at again.
    scope = Scope(batch, at, settled=at, consumer_id=consumer_id)
    try:
        found = [each for name in COMPARISONS for each in differences(name=name, scope=scope)]
        stale, _, _ = stale_after(pk=0, at=at, consumer_id=consumer_id)
        return {each.key: each for each in [*found, *stale]}
    finally:
        listing.forget(batch=batch)


def _list(kind: str, stripe_customer_id: str, pace: Pace) -> list[gateway.Object]:
    path, params = listing.LISTS[kind]
    return pace.read_all(path, customer=stripe_customer_id, **params)


def _of_charges(
    kind: str, charges: list[gateway.Object], sign: str, pace: Pace
) -> list[gateway.Object]:
    """What belongs to those charges of which Stripe says that they have any."""
    return [
        found
        for charge in charges
        if charge[sign]
        for found in pace.read_all(listing.LISTS[kind][0], charge=charge["id"])
    ]


def _customer_rows(
    customer: gateway.Object, holder: StripeCustomer | None, batch: str, at: datetime
) -> list[listing.Listed]:
    if not customer.get("deleted"):
        return listing.listed_rows(
            kind="customer", found=[customer], batch=batch, project_id=None, at=at
        )
    if holder is None:
        return []
    owner = (holder.project_id, holder.consumer_id, holder.stripe_customer_id)
    return [
        listing.gone_row(
            kind="customer",
            stripe_id=holder.stripe_customer_id,
            word="deleted",
            batch=batch,
            owner=owner,
            at=at,
        )
    ]


def _missing_rows(
    holder: StripeCustomer | None,
    rows: list[listing.Listed],
    batch: str,
    pace: Pace,
    at: datetime,
) -> list[listing.Listed]:
    """Subscriptions that we know as live and the customer's list lacks, asked one by one."""
    if holder is None:
        return []
    known = known_live(kind="subscription", project_id=holder.project_id, at=at + SETTLING)
    listed = [row.stripe_id for row in rows if row.kind == "subscription"]
    lacking = Subscription.objects.filter(
        pk__in=cast("QuerySet[Subscription]", known.rows).values("pk"), consumer=holder.consumer_id
    ).exclude(stripe_subscription_id__in=listed)
    owner = (holder.project_id, holder.consumer_id, holder.stripe_customer_id)
    return [
        row
        for subscription in lacking
        for row in ask_for_one(
            known=known,
            stripe_id=subscription.stripe_subscription_id,
            owner=owner,
            batch=batch,
            pace=pace,
            at=at,
        )
    ]
