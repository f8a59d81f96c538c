"""Stripe's objects in our words: the only place that knows where Stripe keeps what.

Pure functions from the dicts of `settings.STRIPE_API_VERSION` to plain facts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any, overload

Object = dict[str, Any]
# Written with a pause: until when the subscription is paid, in Stripe's seconds.
PAID_UNTIL = "latchkey_paid_until"

MONTHS_IN = {
    "day": Fraction(12, 365),
    "week": Fraction(12 * 7, 365),
    "month": Fraction(1),
    "year": Fraction(12),
}


@overload
def instant(seconds: int) -> datetime: ...
@overload
def instant(seconds: None) -> None: ...
def instant(seconds: int | None) -> datetime | None:
    """Stripe's seconds as an instant; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def ref(value: str | Object | None) -> str:
    """The id behind a reference, expanded or not; "" for none."""
    if isinstance(value, dict):
        return str(value.get("id", ""))
    return value or ""


@dataclass(frozen=True)
class ItemFacts:
    stripe_price_id: str
    quantity: int
    mrr_minor: int


@dataclass(frozen=True)
class DiscountFacts:
    """A discount that holds, as far as it says itself what it is."""

    stripe_discount_id: str
    stripe_coupon_id: str
    stripe_promotion_code_id: str
    began_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class SubscriptionFacts:
    """What a subscription says about access and income."""

    stripe_subscription_id: str
    status: str
    items: tuple[ItemFacts, ...]
    currency: str
    started_at: datetime
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    paused: bool
    paid_until: datetime | None  # of a paused one; None: paused elsewhere, or not at all
    checkout_public_id: str
    anchor: datetime | None = None  # from which its periods are counted
    interval: str = ""  # without items
    interval_count: int = 1
    ended_because: str = ""
    taxed: bool = False
    discounts: tuple["DiscountFacts", ...] = ()
    unpaid_since: datetime | None = None  # our invoices say it, see `grace.unpaid_since`

    @property
    def mrr_minor(self) -> int:
        return sum(item.mrr_minor for item in self.items)


def subscription(found: Object) -> SubscriptionFacts:
    # What is paid in advance comes first: it says the quantity, of which usage has none.
    items = sorted(found["items"]["data"], key=_is_metered)
    ends = [item["current_period_end"] for item in items]
    period_end = max(ends, default=None)
    cancel_at = found["cancel_at"]
    if cancel_at is None and found["cancel_at_period_end"]:
        cancel_at = period_end
    return SubscriptionFacts(
        stripe_subscription_id=found["id"],
        status=found["status"],
        items=tuple(_item(item) for item in items),
        currency=found["currency"],
        started_at=instant(found["start_date"]),
        current_period_start=instant(
            max((item["current_period_start"] for item in items), default=None)
        ),
        current_period_end=instant(period_end),
        cancel_at=instant(cancel_at),
        canceled_at=instant(found["canceled_at"]),
        ended_at=instant(found["ended_at"]),
        trial_end=instant(found["trial_end"]),
        paused=found["pause_collection"] is not None,
        paid_until=_paid_until(found),
        checkout_public_id=found["metadata"].get("latchkey_checkout", ""),
        anchor=instant(found["billing_cycle_anchor"]),
        interval=_recurring(items[0])["interval"] if items else "",
        interval_count=_recurring(items[0])["interval_count"] if items else 1,
        ended_because=(found.get("cancellation_details") or {}).get("reason") or "",
        taxed=bool((found.get("automatic_tax") or {}).get("enabled")),
        discounts=tuple(_discount(one) for one in discounts_of(found)),
    )


def discounts_of(found: Object) -> list[Object]:
    """The discounts of a subscription that was read with them."""
    return [one for one in found.get("discounts") or [] if isinstance(one, dict)]


def _discount(found: Object) -> DiscountFacts:
    return DiscountFacts(
        stripe_discount_id=found["id"],
        stripe_coupon_id=ref(found["source"]["coupon"]),
        stripe_promotion_code_id=ref(found["promotion_code"]),
        began_at=instant(found["start"]),
        ends_at=instant(found["end"]),
    )


def _is_metered(item: Object) -> bool:
    return bool(_recurring(item)["usage_type"] == "metered")


def _recurring(item: Object) -> Object:
    found: Object = item["price"]["recurring"]
    return found


def _paid_until(found: Object) -> datetime | None:
    mark = found["metadata"].get(PAID_UNTIL, "")
    is_instant = found["pause_collection"] is not None and mark.isascii() and mark.isdigit()
    return instant(int(mark)) if is_instant and len(mark) < 12 else None


def _item(item: Object) -> ItemFacts:
    quantity = item.get("quantity") or 0
    price = item["price"]
    return ItemFacts(
        stripe_price_id=price["id"],
        quantity=quantity,
        mrr_minor=monthly_minor(price, quantity),
    )


def monthly_minor(price: Object, quantity: int) -> int:
    """What a licensed price brings per month, rounded half up. Metered prices count as 0."""
    recurring = price.get("recurring")
    if not recurring or recurring["usage_type"] != "licensed" or price["unit_amount"] is None:
        return 0
    interval, count = recurring["interval"], recurring["interval_count"]
    return _per_month(price["unit_amount"] * quantity, interval, count)


@lru_cache(maxsize=1024)  # a page of a hundred subscriptions has few prices
def _per_month(amount_minor: int, interval: str, count: int) -> int:
    months = MONTHS_IN[interval] * count
    return int(Fraction(amount_minor) / months + Fraction(1, 2))


@dataclass(frozen=True)
class ChargeFacts:
    stripe_charge_id: str
    stripe_payment_intent_id: str
    status: str
    failure_message: str
    currency: str
    captured_minor: int
    disputed: bool
    created_at: datetime
    fee_minor: int | None  # None: Stripe has not told it yet
    fee_currency: str


def charge(found: Object) -> ChargeFacts:
    booked = found.get("balance_transaction")
    fee = booked if isinstance(booked, dict) else {}
    return ChargeFacts(
        stripe_charge_id=found["id"],
        stripe_payment_intent_id=ref(found["payment_intent"]),
        status=found["status"],
        failure_message=found["failure_message"] or "",
        currency=found["currency"],
        captured_minor=found["amount_captured"] if found["status"] == "succeeded" else 0,
        disputed=found["disputed"],
        created_at=instant(found["created"]),
        fee_minor=fee.get("fee"),
        fee_currency=fee.get("currency", ""),
    )


def invoice_subscription_id(found: Object) -> str:
    parent = found.get("parent") or {}
    details = parent.get("subscription_details") or {}
    return ref(details.get("subscription"))


def invoice_intents(found: Object) -> list[str]:
    """The payment intents that paid, or tried to pay, an invoice read with its payments."""
    payments = (found.get("payments") or {}).get("data", [])
    return [ref(paid["payment"].get("payment_intent")) for paid in payments]


def invoice_tax_minor(found: Object) -> int:
    """All tax of an invoice, inclusive and exclusive: both are part of its total."""
    return sum(tax["amount"] for tax in found.get("total_taxes") or [])
