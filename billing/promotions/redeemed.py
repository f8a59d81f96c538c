"""Discounts as Stripe has them on a subscription, in our columns: what, by which code, how long."""

from datetime import datetime
from typing import Any

from billing.gateway import Object
from billing.models import Coupon, PromotionCode, Redemption, StripeCustomer
from billing.promotions.offers import follow_code, follow_coupon
from billing.shapes import DiscountFacts, SubscriptionFacts, invoice_tax_minor
from billing.snapshot import Snapshot
from billing.sums import discount_minor
from keystore.locking import upsert

Told = dict[str, Any]


def project_discounts(
    *, facts: SubscriptionFacts, holder: StripeCustomer, taken: Snapshot, at: datetime
) -> list[Told]:
    """Keep who redeemed what; returns what the subscription says of its discounts."""
    held = [one.stripe_discount_id for one in facts.discounts]
    gone = Redemption.objects.filter(
        stripe_subscription_id=facts.stripe_subscription_id, gone_at=None
    )
    gone.exclude(stripe_discount_id__in=held).update(gone_at=at)
    return [_project(one, facts, holder, taken, at) for one in facts.discounts]


def _project(
    one: DiscountFacts,
    facts: SubscriptionFacts,
    holder: StripeCustomer,
    taken: Snapshot,
    at: datetime,
) -> Told:
    found = taken.offers.get(one.stripe_coupon_id)
    typed = taken.offers.get(one.stripe_promotion_code_id)
    if found:
        follow_coupon(found, at=at)
    if typed:
        follow_code(typed, at=at)
    coupon = Coupon.objects.filter(
        stripe_coupon_id=one.stripe_coupon_id, project=holder.project_id
    ).first()
    if coupon is not None:
        _keep(one, coupon, facts, holder)
    return {
        "id": one.stripe_discount_id,
        "coupon": coupon.code if coupon else one.stripe_coupon_id,
        "code": typed["code"] if typed else None,
        "ends_at": one.ends_at.isoformat() if one.ends_at else None,
        **_terms(found, coupon),
    }


def _keep(
    one: DiscountFacts, coupon: Coupon, facts: SubscriptionFacts, holder: StripeCustomer
) -> None:
    codes = PromotionCode.objects.exclude(stripe_promotion_code_id="")
    code = codes.filter(stripe_promotion_code_id=one.stripe_promotion_code_id).first()
    upsert(
        Redemption,
        stripe_discount_id=one.stripe_discount_id,
        defaults={"ends_at": one.ends_at, "gone_at": None},
        create_defaults={
            "project_id": holder.project_id,
            "consumer_id": holder.consumer_id,
            "coupon": coupon,
            "promotion_code": code,
            "stripe_subscription_id": facts.stripe_subscription_id,
            "began_at": one.began_at,
            "ends_at": one.ends_at,
        },
    )


def _terms(found: Object | None, coupon: Coupon | None) -> Told:
    """As Stripe tells them; of a coupon that was deleted there, as we made it."""
    if found is not None:
        return {
            "name": found["name"] or "",
            "percent_off": None if found["percent_off"] is None else f"{found['percent_off']:g}",
            "amount_off_minor": found["amount_off"],
            "currency": found["currency"] or "",
            "duration": found["duration"],
        }
    percent = coupon.percent_off if coupon else None
    return {
        "name": coupon.name if coupon else "",
        "percent_off": None if percent is None else f"{percent.normalize():f}",
        "amount_off_minor": coupon.amount_off_minor if coupon else None,
        "currency": coupon.currency if coupon else "",
        "duration": coupon.duration if coupon else "",
    }


def upcoming_told(found: Object | None) -> Told | None:
    """The sums of a preview, as a column keeps them."""
    if found is None:
        return None
    lacking = (found.get("automatic_tax") or {}).get("status") == "requires_location_inputs"
    return {
        "subtotal_minor": found["subtotal"],
        "discount_minor": discount_minor(found),
        "tax_minor": invoice_tax_minor(found),
        "total_minor": found["total"],
        "amount_minor": found["amount_due"],
        "tax_known": not lacking,
    }
