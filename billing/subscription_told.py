"""Subscriptions as their owners see them, out of our own tables: also while Stripe is away."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from billing import access
from billing.catalog_usage import from_json
from billing.models import Price, PriceKind, ScheduledChange, Subscription
from billing.models.subscribing import SCHEDULED
from billing.money import shown
from billing.schedules import AHEAD
from billing.usage_cost import cost_minor
from keystore.models import Consumer, Project
from metering.amounts import shown as amount_shown
from metering.models import Aggregation, Meter
from metering.selectors import QuotaShown, quota_of
from metering.usage import UsageWish, usage_of
from metering.windows import HOUR, Span, end_of, start_of, zone_named

SUMS = ("amount_minor", "subtotal_minor", "discount_minor", "tax_minor", "total_minor")
Prices = Mapping[str, Price]
Waiting = Mapping[int, ScheduledChange]


def subscriptions_of(*, project: Project, consumer: Consumer | None = None) -> Any:
    """Subscriptions of a project, or of one consumer of it, with all that is told of them."""
    rows = Subscription.objects.filter(project=project)
    if consumer is not None:
        rows = rows.filter(consumer=consumer)
    return rows.select_related("project", "consumer__stripe_customer", "plan__api", "price")


def tell_all(rows: Iterable[Subscription], *, at: datetime) -> list[dict[str, Any]]:
    """Each as the API shows it; three queries, however many."""
    found = list(rows)
    ids = {item["price_id"] for row in found for item in row.items}
    prices = {one.stripe_price_id: one for one in Price.objects.filter(stripe_price_id__in=ids)}
    changes = ScheduledChange.objects.filter(subscription__in=found, state__in=SCHEDULED)
    waiting = {one.subscription_id: one for one in changes.select_related("price__plan")}
    return [_told(row, prices, waiting.get(row.pk), at) for row in found]


def tell_one(row: Subscription, *, at: datetime) -> dict[str, Any]:
    return tell_all([row], at=at)[0]


def _told(
    row: Subscription, prices: Prices, waiting: ScheduledChange | None, at: datetime
) -> dict[str, Any]:
    api = row.plan.api if row.plan else None
    resumes = waiting if waiting and waiting.price is None else None
    change = waiting if waiting and waiting.price is not None else None
    charge = _next_charge(row, prices, change, resumes)
    return {
        "id": row.stripe_subscription_id,
        "consumer_id": row.consumer.public_id,
        "user_id": row.consumer.external_id,
        "project_id": row.project_id,
        "plan": row.plan.code if row.plan else None,
        "api": api.code if api else None,
        "status": row.status,
        "price": price_told(row.price),
        "quantity": row.quantity,
        "items": [_item(item, prices) for item in row.items],
        "currency": row.currency,
        "current_period_start": row.current_period_start,
        "current_period_end": row.current_period_end,
        "cancel_at": row.cancel_at,
        "cancel_at_period_end": row.cancel_at is not None
        and row.cancel_at == row.current_period_end,
        "canceled_at": row.canceled_at,
        "ended_at": row.ended_at,
        "trial_end": row.trial_end,
        "paused": row.paused,
        "paused_until": resumes.due_at if resumes else None,
        "discounts": row.discounts,
        "taxed": row.taxed,
        "next_charge": charge,
        "scheduled_change": schedule_told(change) if change else None,
        "next": _next(row, charge, change, resumes, at),
        "created_at": row.started_at,
    }


def schedule_told(row: ScheduledChange) -> dict[str, Any]:
    """A change to come, or what became of it."""
    return {
        "id": row.public_id,
        "kind": "change" if row.price else "resume",
        "plan": row.price.plan.code if row.price else None,
        "price": price_told(row.price),
        "quantity": row.quantity,
        "at_period_end": row.at_period_end,
        "at": row.due_at + AHEAD if row.at_period_end else row.due_at,
        "state": row.state,
        "problem": row.problem or None,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def price_told(price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "id": price.stripe_price_id,
        "amount_minor": price.amount_minor,
        "currency": price.currency,
        "interval": price.interval or None,
        "interval_count": price.interval_count,
        "metered": price.kind == PriceKind.METERED,
        "own": price.only_for_id is not None,
    }


def _item(item: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    return {**item, "price": price_told(prices.get(item["price_id"]))}


def _next_charge(
    row: Subscription,
    prices: Prices,
    change: ScheduledChange | None,
    resumes: ScheduledChange | None,
) -> dict[str, Any] | None:
    """What is charged next: as Stripe previewed it where there are discounts or taxes, else the
    prices that are paid in advance. With a change to come, `exact` is False: its preview tells.
    """
    at = resumes.due_at if resumes else row.current_period_end
    renews = row.status in access.PAYING | access.UNPAID_IN_GRACE and row.cancel_at is None
    if not renews or at is None or (row.paused and not resumes):
        return None
    changes = change is not None and change.price is not None and change.due_at <= at
    if row.upcoming and not changes:
        sums = {name: row.upcoming[name] for name in SUMS}
        return {"at": at, "currency": row.currency, **sums, "exact": row.upcoming["tax_known"]}
    amount = sum(
        prices[item["price_id"]].amount_minor * item["quantity"]
        for item in row.items
        if item["price_id"] in prices and prices[item["price_id"]].kind != PriceKind.METERED
    )
    if changes and change is not None and change.price is not None:
        amount = change.price.amount_minor * (change.quantity or row.quantity)
    metered = any(item["quantity"] == 0 for item in row.items)
    exact = not metered and not (changes and row.upcoming)
    plain = {"subtotal_minor": amount, "discount_minor": 0, "tax_minor": 0, "total_minor": amount}
    return {"at": at, "amount_minor": amount, "currency": row.currency, **plain, "exact": exact}


def _next(
    row: Subscription,
    charge: Mapping[str, Any] | None,
    change: ScheduledChange | None,
    resumes: ScheduledChange | None,
    at: datetime,
) -> dict[str, Any]:
    """What happens to it by itself: a code, when, and one sentence."""
    end = row.current_period_end
    cost = shown(charge["amount_minor"], charge["currency"]) if charge else ""
    if row.status in access.ENDED:
        return _step("ended", row.ended_at, "It has ended{on}.")
    if row.status in access.NOT_BEGUN:
        return _step("pay", None, "It begins when the first payment is made.")
    if row.cancel_at is not None:
        return _step("ends", row.cancel_at, "It ends{on} and is not renewed.")
    if row.paused:
        until = resumes.due_at if resumes else None
        said = "It is paused and goes on{on}." if until else "It is paused until it is resumed."
        return _step("resumes" if until else "paused", until, said)
    if row.status in access.UNPAID_IN_GRACE:
        return _step("pay", None, "The last payment failed: pay the open invoice to keep access.")
    if row.status == "trialing":
        return _step("trial_ends", row.trial_end, f"The trial ends{{on}}; then {cost} is charged.")
    if change is not None and change.price is not None:
        when = change.due_at + AHEAD if change.at_period_end else change.due_at
        return _step("changes", when, f"It changes to {change.price.plan}{{on}}.")
    if row.status in access.PAYING:
        return _step("renews", end, f"It renews{{on}} for {cost}.")
    return _step(row.status, None, f"It is {row.status} and gives no access.")


def _step(code: str, at: datetime | None, text: str) -> dict[str, Any]:
    return {"code": code, "at": at, "text": text.format(on=f" on {at:%Y-%m-%d}" if at else "")}


def usage_told(row: Subscription, *, at: datetime) -> dict[str, Any]:
    """What was used in its period, meter by meter: of a limit, and what it costs so far."""
    billed = {
        price.meter_id: price
        for price in Price.objects.filter(
            stripe_price_id__in=[item["price_id"] for item in row.items], kind=PriceKind.METERED
        ).select_related("meter__feature")
        if price.meter_id is not None
    }
    quotas = {quota.meter.pk: quota for quota in quota_of(consumer=row.consumer, at=at)}
    meters = {pk: quota.meter for pk, quota in quotas.items()}
    meters |= {pk: price.meter for pk, price in billed.items() if price.meter}
    lines = [
        _usage_line(row, meter, quotas.get(pk), billed.get(pk), at)
        for pk, meter in sorted(meters.items(), key=lambda one: one[1].code)
    ]
    return {
        "subscription_id": row.stripe_subscription_id,
        "user_id": row.consumer.external_id,
        "plan": row.plan.code if row.plan else None,
        "period_start": row.current_period_start,
        "period_end": row.current_period_end,
        "currency": row.currency,
        "cost_minor": sum(line["cost_minor"] or 0 for line in lines),
        "meters": lines,
    }


def _usage_line(
    row: Subscription,
    meter: Meter,
    quota: QuotaShown | None,
    price: Price | None,
    at: datetime,
) -> dict[str, Any]:
    left = quota.left if quota else None
    used = _used_in_period(row, meter, at) if price or left is None else left.used
    terms = from_json(price.usage_terms) if price else None
    return {
        "meter": meter.code,
        "name": meter.name,
        "unit": meter.unit,
        "used": amount_shown(used),
        "limit": amount_shown(left.limit) if left else None,
        "remaining": amount_shown(left.remaining) if left else None,
        "resets_at": quota.resets_at if quota else None,
        "cost_minor": cost_minor(terms, used) if terms else None,
    }


def _used_in_period(row: Subscription, meter: Meter, at: datetime) -> Any:
    """Hour by hour, as it is billed."""
    start = row.current_period_start or row.started_at
    until = min(at, row.current_period_end or at)
    span = Span(start_of(HOUR, start), end_of(HOUR, start_of(HOUR, max(until, start))))
    wish = UsageWish(meter, span, HOUR, zone_named("UTC"), consumer=row.consumer)
    figures = [each.quantity for each in usage_of(wish)]
    if meter.aggregation == Aggregation.LATEST:
        return figures[-1] if figures else 0
    return max(figures, default=0) if meter.aggregation == Aggregation.MAX else sum(figures)
