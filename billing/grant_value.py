"""What a gift would have cost, and whether who got it paid later."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from billing.models import Invoice, Price, PriceKind, Purchase, PurchaseState, Subscription
from billing.models.projections import StripeCustomer
from billing.money import shown
from entitlements.models import Grant

MONTHS_PER = {"day": Decimal(12) / 365, "week": Decimal(12) / 52, "month": Decimal(1)}
MONTHS_PER["year"] = Decimal(12)


@dataclass(frozen=True, slots=True)
class Worth:
    """In words: what the grant's plan costs over its time, and what was paid after it."""

    value: str
    became_paid: str


def worths_of(*, grants: Sequence[Grant], at: datetime) -> dict[int, Worth]:
    """By the grants' row numbers, in five queries however many they are."""
    given = [grant for grant in grants if grant.source_ref == grant.public_id]
    prices = _monthly_prices({grant.plan_id for grant in given if grant.plan_id is not None})
    consumers = {grant.consumer_id for grant in given}
    currencies = _currencies(consumers) if prices else {}
    paid = _payments(consumers)
    nothing = Worth("", "")
    worths = {grant.pk: nothing for grant in grants}
    for grant in given:
        costs = prices.get(grant.plan_id or 0, {})
        value = _value(grant, costs, currencies.get(grant.consumer_id, ""))
        worths[grant.pk] = Worth(value, _became_paid(grant, paid.get(grant.consumer_id, [])))
    return worths


def months_between(start: datetime, end: datetime) -> Decimal:
    """Whole months of the calendar, and the rest as a part of the month that it falls in."""
    whole = (end.year - start.year) * 12 + end.month - start.month
    while whole > 0 and _months_later(start, whole) > end:
        whole -= 1
    begun, next_one = _months_later(start, whole), _months_later(start, whole + 1)
    return whole + Decimal((end - begun) / (next_one - begun))


def _value(grant: Grant, costs: dict[str, Decimal], currency: str) -> str:
    """In the consumer's currency if it has a price, else in each; never added together."""
    chosen = {currency: costs[currency]} if currency in costs else costs
    end = min((one for one in (grant.revoked_at, grant.valid_to) if one), default=None)
    if end is None:
        told = [f"{shown(_rounded(cost), name)} a month" for name, cost in sorted(chosen.items())]
    else:
        months = months_between(grant.valid_from, max(end, grant.valid_from))
        told = [shown(_rounded(cost * months), name) for name, cost in sorted(chosen.items())]
    return " or ".join(told)


def _became_paid(grant: Grant, payments: list[tuple[datetime, str]]) -> str:
    later = [payment for payment in payments if payment[0] >= grant.created_at]
    if not later:
        return "no"
    began, what = min(later)
    return f"{what}, {began:%Y-%m-%d}"


def _monthly_prices(plan_ids: set[int]) -> dict[int, dict[str, Decimal]]:
    """What a month of each plan costs by currency; of several prices the one paid monthly."""
    if not plan_ids:
        return {}
    rows = Price.objects.filter(
        plan__in=plan_ids, kind=PriceKind.RECURRING, active=True, only_for=None
    )
    costs: dict[int, dict[str, Decimal]] = {}
    for row in sorted(rows, key=lambda row: (row.interval != "month", row.interval_count, row.pk)):
        if row.interval in MONTHS_PER:
            months = MONTHS_PER[row.interval] * row.interval_count
            costs.setdefault(row.plan_id, {}).setdefault(row.currency, row.amount_minor / months)
    return costs


def _currencies(consumers: set[int]) -> dict[int, str]:
    rows = StripeCustomer.objects.filter(consumer__in=consumers)
    return dict(rows.values_list("consumer_id", "currency"))


def _payments(consumers: set[int]) -> dict[int, list[tuple[datetime, str]]]:
    """When each consumer's paid subscriptions and purchases began, and their names."""
    if not consumers:
        return {}
    invoices = Invoice.objects.filter(consumer__in=consumers, paid_minor__gt=0)
    paid_ones = set(invoices.values_list("stripe_subscription_id", flat=True))
    subscriptions = Subscription.objects.filter(
        consumer__in=consumers, stripe_subscription_id__in=paid_ones
    ).values_list("consumer_id", "started_at", "stripe_subscription_id")
    purchases = (
        Purchase.objects.filter(consumer__in=consumers, amount_minor__gt=0)
        .exclude(state=PurchaseState.REFUNDED)
        .values_list("consumer_id", "created_at", "public_id")
    )
    return _by_consumer([*subscriptions, *purchases])


def _by_consumer(
    rows: Iterable[tuple[int, datetime, str]],
) -> dict[int, list[tuple[datetime, str]]]:
    found: dict[int, list[tuple[datetime, str]]] = {}
    for consumer, began, what in rows:
        found.setdefault(consumer, []).append((began, what))
    return found


def _rounded(minor: Decimal) -> int:
    return int(minor.quantize(Decimal(1), ROUND_HALF_UP))


def _months_later(start: datetime, months: int) -> datetime:
    """The same day and time so many months later; the month's last day if it has no such day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    first = start.replace(year=year, month=month + 1, day=1)
    day = start.day
    while True:
        try:
            return first.replace(day=day)
        except ValueError:
            day -= 1
