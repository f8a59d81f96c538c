"""Subscriptions that a sync would call one too many: they open nothing."""

from itertools import groupby

from django.db.models import Count, QuerySet

from billing.duplicates import LIVE, Owned, one_too_many, single_plans
from billing.models import ListedObject, Price, Subscription

Listed = dict[str, tuple[str, list[str]]]  # subscription -> our checkout, all its prices
Prices = dict[tuple[int, str], Price]


def doubled_subscriptions(*, among: QuerySet[Subscription], batch: str) -> set[str]:
    """The Stripe ids of those; what only Stripe knows of them is read from the listed batch."""
    live = among.filter(status__in=LIVE)
    several = live.values("consumer").annotate(number=Count("pk")).filter(number__gt=1)
    rows = list(live.filter(consumer__in=several.values("consumer")).order_by("consumer_id"))
    listed = _listed(rows, batch)
    prices = _prices(listed)
    return {
        extra
        for _, theirs in groupby(rows, key=lambda row: row.consumer_id)
        for extra in one_too_many([_owned(row, listed, prices) for row in theirs])
    }


def _listed(rows: list[Subscription], batch: str) -> Listed:
    ids = [row.stripe_subscription_id for row in rows]
    found = ListedObject.objects.filter(batch=batch, kind="subscription", stripe_id__in=ids)
    return {
        stripe_id: (checkout, price_ids)
        for stripe_id, checkout, price_ids in found.values_list(
            "stripe_id", "parent_id", "price_ids"
        )
    }


def _prices(listed: Listed) -> Prices:
    ids = {price_id for _, price_ids in listed.values() for price_id in price_ids}
    found = Price.objects.filter(stripe_price_id__in=ids).select_related("plan")
    return {(price.project_id, price.stripe_price_id): price for price in found}


def _owned(row: Subscription, listed: Listed, prices: Prices) -> Owned:
    checkout, price_ids = listed.get(row.stripe_subscription_id, ("", []))
    known = [prices.get((row.project_id, price_id)) for price_id in price_ids]
    return Owned(
        row.stripe_subscription_id,
        row.status,
        row.started_at,
        single_plans([price for price in known if price is not None]),
        bool(checkout),
    )
