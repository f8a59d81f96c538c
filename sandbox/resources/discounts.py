"""Coupons, promotion codes and tax rates."""

from __future__ import annotations

from sandbox import generic
from sandbox.errors import invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.shapes import copy
from sandbox.store import Object, random_text


@on("POST /v1/coupons")
def create_coupon(call: Call) -> Object:
    if ("percent_off" in call.params) == ("amount_off" in call.params):
        raise invalid("You must pass either percent_off or amount_off.", param="percent_off")
    if "amount_off" in call.params and not call.params.get("currency"):
        raise invalid("You must pass currency when passing amount_off", param="currency")
    limited = call.params.pop("applies_to", None)
    call.params.setdefault("duration", "once")
    call.params.setdefault("id", random_text(8))
    coupon = generic.create(call, "coupon", valid=True)
    call.store.hide(coupon["id"], applies_to=limited)
    return coupon


@on("POST /v1/promotion_codes")
def create_code(call: Call) -> Object:
    promotion = call.params.pop("promotion")
    coupon = call.store.get("coupon", promotion.get("coupon", ""), status=400)
    for other in call.store.all("promotion_code"):
        if other["active"] and other["code"] == call.params.get("code"):
            raise invalid("An active promotion code with this code already exists.", param="code")
    call.params.setdefault("code", random_text(8).upper())
    promotion = {"type": "coupon", "coupon": coupon["id"]}
    made = generic.new(call.sandbox, "promotion_code", call.params, promotion=promotion)
    if not made["restrictions"]["currency_options"]:
        # Absent, never null: stripe-python cannot read a null there.
        made["restrictions"].pop("currency_options")
    call.sandbox.emit("promotion_code.created", call.store.put(made))
    return made


@on("GET /v1/promotion_codes")
def list_codes(call: Call) -> Object:
    coupon = call.params.pop("coupon", None)
    found = matching(call.store.newest_first("promotion_code"), call.params)
    if coupon:
        found = [code for code in found if code["promotion"]["coupon"] == coupon]
    return paginate(found, call.params, url=call.path)


@on("POST /v1/tax_rates")
def create_tax_rate(call: Call) -> Object:
    rate = generic.create(call, "tax_rate", effective_percentage=None)
    rate["percentage"] = float(call.params["percentage"])
    return rate


@on("DELETE /v1/subscriptions/{id}/discount")
def delete_discount(call: Call) -> Object:
    subscription = call.store.get("subscription", call.id)
    if not subscription["discounts"]:
        raise invalid("This subscription has no discount.", code="resource_missing")
    discount = call.store.get("discount", subscription["discounts"][0])
    with call.sandbox.changing(subscription):
        subscription["discounts"] = []
    call.sandbox.emit("customer.discount.deleted", discount)
    return {**copy(discount), "deleted": True}
