"""Whether Stripe's lists can be believed, and what it says of single objects that they lack."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, QuerySet

from billing import access, gateway
from billing.models import ListedObject, StripeCustomer, Subscription
from billing.reconciliation import listing
from billing.reconciliation.pace import Pace

SETTLING = timedelta(minutes=5)  # what changed within it may not have reached us yet


class NotBelieved(Exception):
    """Stripe's answer is empty or far too short: nothing may be concluded from it."""


@dataclass(frozen=True)
class Known:
    """What we know to be alive of one kind, and how to read one of them."""

    kind: str
    path: str
    rows: QuerySet[Subscription] | QuerySet[StripeCustomer]
    id_field: str


def known_live(*, kind: str, project_id: int | None, at: datetime) -> Known:
    """Without what is so young that the list may have been read before it was made."""
    if kind == "subscription":
        subscriptions = Subscription.objects.exclude(status__in=access.ENDED)
        subscriptions = subscriptions.filter(started_at__lte=at - SETTLING)
        rows: QuerySet[Subscription] | QuerySet[StripeCustomer] = subscriptions
    else:
        rows = StripeCustomer.objects.filter(deleted_at=None, created_at__lte=at - SETTLING)
    if project_id is not None:
        rows = rows.filter(project_id=project_id)
    return Known(kind, f"/v1/{kind}s/{{}}", rows, f"stripe_{kind}_id")


def not_listed(*, known: Known, batch: str) -> list[tuple[str, listing.Owner]]:
    """Ids that we know and the lists lack, each with its owner. Raises NotBelieved when these
    are more than half: then the answer is the accident, not our table.
    """
    in_list = ListedObject.objects.filter(
        batch=batch, kind=known.kind, stripe_id=OuterRef(known.id_field), gone=False
    )
    total = known.rows.count()
    asked = ListedObject.objects.filter(batch=batch, kind=known.kind, gone=True)
    lacking = known.rows.filter(~Exists(in_list))
    missing = lacking.count()
    if missing * 2 > total:
        raise NotBelieved(
            f"Stripe lists only {total - missing} of the {total} {known.kind}s that we know as "
            "live. Nothing was changed. Check that STRIPE_SECRET_KEY is of the right account."
        )
    lacking = lacking.exclude(**{f"{known.id_field}__in": asked.values("stripe_id")})
    customer = "stripe_customer_id"
    if known.kind == "subscription":
        customer = "consumer__stripe_customer__stripe_customer_id"
    values = lacking.annotate(id_=F(known.id_field), customer_=F(customer)).order_by("id_")
    return [
        (each, (project, consumer, owner or ""))
        for each, project, consumer, owner in values.values_list(
            "id_", "project_id", "consumer_id", "customer_"
        )
    ]


def ask_for_one(
    *, known: Known, stripe_id: str, owner: listing.Owner, batch: str, pace: Pace, at: datetime
) -> list[listing.Listed]:
    """The row of one object that the list lacked: as it is, or that it is gone."""
    word = "deleted"
    try:
        found = pace.read(known.path.format(stripe_id))
    except gateway.StripeMissing:
        found, word = {"deleted": True}, "unknown"
    if found.get("deleted"):
        row = listing.gone_row(
            kind=known.kind, stripe_id=stripe_id, word=word, batch=batch, owner=owner, at=at
        )
        return [row]
    return listing.listed_rows(
        kind=known.kind, found=[found], batch=batch, project_id=owner[0], at=at
    )
