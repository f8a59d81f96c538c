"""A code that a buyer was given: whether this purchase can have it, said before Stripe is asked.

Stripe decides in the end: who redeems the last one is known only there.
"""

from datetime import datetime

from django.db.models import F

from billing.models import Coupon, Payment, Price, PriceKind, PromotionCode
from billing.money import shown
from billing.refusals import code_refused
from config.errors import NotFound
from keystore.models import Consumer, Project

LONGEST = 50


class PromotionCodeUnknown(NotFound):
    code = "promotion_code_not_found"


def usable_code(
    *,
    project: Project,
    text: str,
    consumer: Consumer | None,
    price: Price,
    quantity: int,
    at: datetime,
) -> PromotionCode | None:
    """The code that was typed, None for none. Raises PromotionCodeUnknown, or
    PromotionCodeUnusable with the reason.
    """
    if not text:
        return None
    found = _named(project, text)
    _refuse_over(found, at)
    _refuse_buyer(found, consumer)
    _refuse_purchase(found, price, quantity)
    return found


def _named(project: Project, text: str) -> PromotionCode:
    rows = PromotionCode.objects.select_related("coupon", "project").filter(project=project)
    typed = text.replace("\x00", "").strip()[:LONGEST]
    rows = rows.filter(code__iexact=typed)
    found = rows.order_by(F("withdrawn_at").asc(nulls_first=True), "-pk").first()
    if found is None:
        raise PromotionCodeUnknown(
            "There is no such promotion code: look at how it is written, or leave it out.",
            errors=[
                {
                    "location": "body.promotion_code",
                    "message": "Unknown code.",
                    "fix": "Send a code of this project, or none.",
                }
            ],
        )
    return found


def _refuse_over(found: PromotionCode, at: datetime) -> None:
    coupon: Coupon = found.coupon
    most, end = found.max_redemptions, found.expires_at
    if most is not None and found.times_redeemed >= most:
        raise code_refused("This code is used up.")
    if coupon.max_redemptions is not None and coupon.times_redeemed >= coupon.max_redemptions:
        raise code_refused("This code is used up.")
    for last in (end, coupon.redeem_by):
        if last is not None and last <= at:
            raise code_refused(f"This code ended on {last:%Y-%m-%d}.")
    if not found.active or not coupon.active or not found.stripe_promotion_code_id:
        raise code_refused("This code is not valid any more, or not yet.")


def _refuse_buyer(found: PromotionCode, consumer: Consumer | None) -> None:
    if found.consumer_id is not None and (consumer is None or consumer.pk != found.consumer_id):
        raise code_refused("This code is for somebody else.")
    paid = Payment.objects.filter(consumer=consumer, captured_minor__gt=0)
    if found.first_time and consumer is not None and paid.exists():
        raise code_refused("This code is only for the first purchase.")


def _refuse_purchase(found: PromotionCode, price: Price, quantity: int) -> None:
    coupon: Coupon = found.coupon
    if coupon.plans and price.plan.code not in coupon.plans:
        raise code_refused(f"This code is not for {price.plan}, only for {_list(coupon.plans)}.")
    if coupon.currency and coupon.currency != price.currency:
        raise code_refused(
            f"This code is in {coupon.currency.upper()}, the price in {price.currency.upper()}."
        )
    if found.minimum_minor is None:
        return
    worth = 0 if price.kind == PriceKind.METERED else price.amount_minor * quantity
    if found.minimum_currency != price.currency or worth < found.minimum_minor:
        least = shown(found.minimum_minor, found.minimum_currency)
        raise code_refused(f"This code needs a purchase of at least {least}.")


def _list(plans: list[str]) -> str:
    return ", ".join(plans)
