"""A price in words, and the prices that are sold together."""

from decimal import Decimal

from django.db.models import Case, IntegerField, QuerySet, Value, When

from billing.models import Price, PriceKind
from billing.money import decimals_of, shown


def price_text(price: Price) -> str:
    """ "14.99 USD per month", "0.0005 USD per call, billed per month"."""
    many = f"{price.interval_count} {price.interval}s" if price.interval_count > 1 else ""
    every = f" per {many or price.interval}" if price.interval else ""
    if price.kind == PriceKind.METERED:
        return f"{_usage_text(price)}, billed{every}"
    return f"{shown(price.amount_minor, price.currency)}{every}"


def _usage_text(price: Price) -> str:
    terms = price.usage_terms
    meter = price.meter
    unit = (meter.unit or meter.code) if meter else "unit"
    if not terms:
        return f"{shown(price.amount_minor, price.currency)} per {unit}"
    if terms["tiers"]:
        return f"{terms['tiers_mode']} tiers in {price.currency.upper()} per {unit}"
    major = Decimal(terms["unit_amount"]).scaleb(-decimals_of(price.currency))
    package = f"{terms['divide_by']} " if terms["divide_by"] != 1 else ""
    return f"{major:f} {price.currency.upper()} per {package}{unit}"


def by_usage_last(prefix: str = "") -> Case:
    """Orders the prices of a plan: what is paid in advance is its price, usage comes beside it."""
    return Case(
        When(**{f"{prefix}kind": PriceKind.METERED}, then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )


def usage_prices_beside(price: Price) -> QuerySet[Price]:
    """The metered prices of the same plan, currency and interval; Stripe bills them together."""
    found = Price.objects.filter(
        project=price.project_id,
        plan=price.plan_id,
        kind=PriceKind.METERED,
        currency=price.currency,
        interval=price.interval,
        interval_count=price.interval_count,
        active=True,
    )
    return found.exclude(pk=price.pk).order_by("pk")
