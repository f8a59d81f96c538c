"""Coupons and promotion codes as discounts on a subscription or an invoice."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.engine.periods import period_end
from sandbox.engine.prices import cost, round_minor
from sandbox.errors import StripeError, invalid
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


@dataclass(frozen=True)
class Sold:
    """What a discount is wished for: the products, their currency, and their items."""

    products: frozenset[str]
    currency: str
    items: tuple[Object, ...] = ()

    @classmethod
    def of(cls, items: list[Object]) -> Sold:
        products = frozenset(item["price"]["product"] for item in items)
        return cls(products, items[0]["price"]["currency"] if items else "", tuple(items))

    def amount(self, sandbox: Sandbox) -> int:
        return sum(cost(sandbox, one["price"], one.get("quantity") or 0) for one in self.items)


def make_discounts(
    sandbox: Sandbox,
    given: Any,
    *,
    customer: str,
    subscription: str | None,
    at: int,
    sold: Sold | None = None,
    counts: bool = True,
) -> list[str]:
    """The ids of the discounts that a `discounts` parameter asks for.

    All are refused or all made. `counts` is False in a preview, which redeems nothing.
    """
    refuse_unfit(sandbox, given, customer, at=at, sold=sold)
    made = []
    for place, wish in enumerate(given or []):
        if wish.get("discount"):
            made.append(wish["discount"])
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
        made.append(sandbox.store.put(discount)["id"])
        if counts:
            count_redeemed(sandbox, made[-1:])
    return made


def count_redeemed(sandbox: Sandbox, discounts: list[str]) -> None:
    """They hold from now on."""
    for id in discounts:
        discount = sandbox.store.get("discount", id)
        coupon = sandbox.store.get("coupon", discount["source"]["coupon"])
        _count(sandbox, coupon, sandbox.store.find(discount["promotion_code"]))
        sandbox.emit("customer.discount.created", discount)


def _count(sandbox: Sandbox, coupon: Object, code: Object | None) -> None:
    with sandbox.changing(coupon):
        coupon["times_redeemed"] += 1
        most = coupon["max_redemptions"]
        coupon["valid"] = coupon["valid"] and not (most and coupon["times_redeemed"] >= most)
    if code is None:
        return
    with sandbox.changing(code):
        code["times_redeemed"] += 1
        most = code["max_redemptions"]
        code["active"] = code["active"] and not (most and code["times_redeemed"] >= most)


def refuse_unfit(
    sandbox: Sandbox, given: Any, customer: str | None, *, at: int, sold: Sold | None = None
) -> None:
    """Raise what speaks against the wishes, before anything is changed."""
    for place, wish in enumerate(given or []):
        param = f"discounts[{place}]"
        if wish.get("discount"):
            sandbox.store.get("discount", wish["discount"], status=400)
            continue
        coupon, code = coupon_for(sandbox, wish, param=param, at=at)
        if code:
            _refuse_code(sandbox, code, customer, sold, param)
        if sold:
            _refuse_other(sandbox, coupon, sold, param)


def _refuse_code(
    sandbox: Sandbox, code: Object, customer: str | None, sold: Sold | None, param: str
) -> None:
    if code["customer"] and code["customer"] != customer:
        raise invalid("This promotion code cannot be redeemed by this customer.", param=param)
    rules = code["restrictions"]
    if rules["first_time_transaction"] and _has_paid(sandbox, customer):
        message = "This promotion code cannot be redeemed because the associated customer has "
        raise invalid(message + "prior transactions.", param=param)
    least = rules["minimum_amount"]
    if not least or sold is None:
        return
    other = rules["minimum_amount_currency"] != sold.currency
    if other or sold.amount(sandbox) < least:
        message = "This promotion code cannot be redeemed because the minimum amount is not met."
        raise invalid(message, param=param)


def _has_paid(sandbox: Sandbox, customer: str | None) -> bool:
    return any(
        one["customer"] == customer and one["status"] == "succeeded"
        for one in sandbox.store.all("charge")
    )


def _refuse_other(sandbox: Sandbox, coupon: Object, sold: Sold, param: str) -> None:
    if coupon["amount_off"] and coupon["currency"] != sold.currency:
        message = f"The coupon {coupon['id']} is in {coupon['currency']}, which does not match "
        raise invalid(message + f"the currency {sold.currency}.", param=param)
    limited = sandbox.store.secret(coupon["id"], "applies_to")
    if limited and not sold.products & set(limited["products"]):
        message = f"The coupon {coupon['id']} does not apply to anything that is bought."
        raise invalid(message, param=param, code="coupon_not_applicable")


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
        if not code["active"] or _is_past(code["expires_at"], at):
            raise _expired("This promotion code is not active or has expired.", name)
    coupon = sandbox.store.get("coupon", str(id), param=f"{param}[coupon]", status=400)
    most = coupon["max_redemptions"]
    used_up = bool(most and coupon["times_redeemed"] >= most)
    if not coupon["valid"] or _is_past(coupon["redeem_by"], at) or used_up:
        raise _expired(f"Coupon expired: {coupon['id']}", param)
    return coupon, code


def _is_past(until: int | None, at: int) -> bool:
    return until is not None and until < at


def _expired(message: str, param: str) -> StripeError:
    return invalid(message, param=param, code="coupon_expired")


def coupons_of(sandbox: Sandbox, wishes: list[dict[str, Any]]) -> list[Object]:
    """The coupons behind discounts that hold or are wished for."""
    found = []
    for wish in wishes:
        id = wish.get("coupon")
        if wish.get("discount"):
            id = sandbox.store.get("discount", wish["discount"])["source"]["coupon"]
        if wish.get("promotion_code"):
            code = sandbox.store.get("promotion_code", wish["promotion_code"], status=400)
            id = code["promotion"]["coupon"]
        found.append(sandbox.store.get("coupon", str(id), status=400))
    return found


def taken_off(sandbox: Sandbox, amount: int, product: str, coupons: list[Object]) -> int:
    """What is left of an amount of the product."""
    for coupon in coupons:
        limited = sandbox.store.secret(coupon["id"], "applies_to")
        if limited and product not in limited["products"]:
            continue
        if coupon["amount_off"]:
            amount -= min(amount, coupon["amount_off"])
        else:
            amount -= round_minor(Decimal(amount) * Decimal(str(coupon["percent_off"])) / 100)
    return amount


def _end(coupon: Object, at: int) -> int | None:
    if coupon["duration"] != "repeating":
        return None
    months = coupon["duration_in_months"]
    return period_end(at, anchor=at, interval="month", count=months)


def drop_ended(sandbox: Sandbox, subscription: Object, *, at: int) -> None:
    """Take away what has run out."""
    found = [sandbox.store.get("discount", id) for id in subscription["discounts"]]
    kept = [one["id"] for one in found if one["end"] is None or one["end"] > at]
    subscription["discounts"] = kept


def drop_used(sandbox: Sandbox, subscription: Object, *, at: int) -> None:
    """After an invoice of a period: take away what applied once, and what has run out."""
    drop_ended(sandbox, subscription, at=at)
    held = subscription["discounts"]
    coupons = coupons_of(sandbox, [{"discount": id} for id in held])
    kept = [id for id, one in zip(held, coupons, strict=True) if one["duration"] != "once"]
    subscription["discounts"] = kept
