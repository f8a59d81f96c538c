"""Coupons and promotion codes as discounts on a subscription or an invoice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine.periods import period_end
from sandbox.errors import invalid
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def make_discounts(
    sandbox: Sandbox, given: Any, *, customer: str, subscription: str | None, at: int
) -> list[str]:
    """The ids of the discounts that a `discounts` parameter asks for."""
    made = []
    for place, wish in enumerate(given or []):
        if wish.get("discount"):
            made.append(sandbox.store.get("discount", wish["discount"], status=400)["id"])
            continue
        coupon, code = coupon_for(sandbox, wish, param=f"discounts[{place}]", at=at)
        discount = blank("discount")
        discount.update(
            id=new_id("discount"),
            customer=customer,
            subscription=subscription,
            promotion_code=code["id"] if code else None,
            source={"type": "coupon", "coupon": coupon["id"]},
            start=at,
            end=_end(coupon, at),
        )
        coupon["times_redeemed"] += 1
        if code:
            code["times_redeemed"] += 1
        made.append(sandbox.store.put(discount)["id"])
    return made


def coupon_for(
    sandbox: Sandbox, wish: dict[str, Any], *, param: str, at: int
) -> tuple[Object, Object | None]:
    """The coupon that may be redeemed, and the code that stands for it."""
    code = None
    id = wish.get("coupon")
    if wish.get("promotion_code"):
        name = f"{param}[promotion_code]"
        code = sandbox.store.get("promotion_code", wish["promotion_code"], param=name, status=400)
        id = code["promotion"]["coupon"]
        if not code["active"]:
            raise invalid("This promotion code is not active.", param=name)
    coupon = sandbox.store.get("coupon", str(id), param=f"{param}[coupon]", status=400)
    is_late = coupon["redeem_by"] is not None and coupon["redeem_by"] < at
    most = coupon["max_redemptions"]
    if not coupon["valid"] or is_late or (most and coupon["times_redeemed"] >= most):
        raise invalid(f"Coupon expired: {coupon['id']}", param=param, code="coupon_expired")
    return coupon, code


def _end(coupon: Object, at: int) -> int | None:
    if coupon["duration"] != "repeating":
        return None
    months = coupon["duration_in_months"]
    return period_end(at, anchor=at, interval="month", count=months)


def drop_used(sandbox: Sandbox, subscription: Object, *, at: int) -> None:
    """Take away what applied once, and what has run out."""
    kept = []
    for id in subscription["discounts"]:
        discount = sandbox.store.get("discount", id)
        coupon = sandbox.store.get("coupon", discount["source"]["coupon"])
        is_over = discount["end"] is not None and discount["end"] <= at
        if coupon["duration"] != "once" and not is_over:
            kept.append(id)
    subscription["discounts"] = kept
