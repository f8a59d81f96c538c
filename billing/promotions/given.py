"""A discount that staff give to a subscription, or take away: previewed, then made."""

from datetime import datetime
from typing import Any

from billing import access
from billing.gateway import Object
from billing.models import Coupon, Subscription
from billing.refusals import code_refused
from billing.shapes import instant, ref
from billing.subscriptions import (
    ChangePreview,
    NotChangeable,
    due_of,
    preview_invoice,
    read_subscription,
)
from billing.sums import sums_of
from config.errors import NotFound


class DiscountNotFound(NotFound):
    code = "discount_not_found"


def preview_given(*, subscription: Subscription, coupon: Coupon, at: datetime) -> ChangePreview:
    """What the next invoice is with the coupon beside what holds. Raises NotChangeable,
    PromotionCodeUnusable.
    """
    found = _live(subscription)
    _refuse_unfit(coupon, subscription)
    held = [ref(one) for one in found.get("discounts") or []]
    if any(one["coupon"] == coupon.code for one in subscription.discounts):
        raise NotChangeable(f"It has {coupon} already: nothing was changed.")
    wanted: list[dict[str, str]] = [{"discount": one} for one in held]
    return _priced(subscription, found, [*wanted, {"coupon": coupon.stripe_coupon_id}], at)


def preview_taken(*, subscription: Subscription, discount_id: str, at: datetime) -> ChangePreview:
    """What the next invoice is without the discount. Raises DiscountNotFound, NotChangeable."""
    found = _live(subscription)
    held = [ref(one) for one in found.get("discounts") or []]
    if discount_id not in held:
        raise DiscountNotFound("The subscription has no such discount (any more).")
    left = [{"discount": one} for one in held if one != discount_id]
    return _priced(subscription, found, left, at)


def _live(subscription: Subscription) -> Object:
    found = read_subscription(subscription)
    if found["status"] in access.ENDED | access.NOT_BEGUN:
        raise NotChangeable(f"The subscription is {found['status']}: no discount counts there.")
    return found


def _refuse_unfit(coupon: Coupon, subscription: Subscription) -> None:
    plan = subscription.plan.code if subscription.plan else ""
    if coupon.project_id != subscription.project_id or not coupon.active:
        raise code_refused(f"{coupon} cannot be redeemed (any more).")
    if coupon.plans and plan not in coupon.plans:
        raise code_refused(f"{coupon} is only for {', '.join(coupon.plans)}.")
    if coupon.currency and coupon.currency != subscription.currency:
        raise code_refused(
            f"{coupon} is in {coupon.currency.upper()}, the subscription in "
            f"{subscription.currency.upper()}."
        )


def _priced(
    subscription: Subscription, found: Object, discounts: list[dict[str, str]], at: datetime
) -> ChangePreview:
    # Stripe's word for none: an empty list would not be sent at all.
    wanted: dict[str, Any] = {"discounts": discounts or ""}
    renews = found["cancel_at"] is None and found["pause_collection"] is None
    upcoming = preview_invoice(subscription, {}, wanted) if renews else None
    ends = max(item["current_period_end"] for item in found["items"]["data"])
    return ChangePreview(
        subscription=subscription,
        at=at,
        params=wanted,
        currency=found["currency"],
        due_now_minor=0,
        lines=(),
        next_minor=due_of(upcoming) if upcoming else None,
        next_at=instant(ends) if upcoming else None,
        next_sums=sums_of(upcoming) if upcoming else None,
    )
