"""The items of a subscription: made, changed, and what a change costs part-way."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.engine.discounts import coupons_of, taken_off
from sandbox.engine.lines import item_parent, line
from sandbox.engine.periods import period_end
from sandbox.engine.prices import cost, make_price, round_minor
from sandbox.engine.usage import is_metered
from sandbox.errors import invalid
from sandbox.shapes import blank, copy, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def price_for(sandbox: Sandbox, given: dict[str, Any], param: str) -> Object:
    """The recurring price that an item names, or makes on the spot by price_data."""
    if given.get("price_data"):
        return make_price(sandbox, given["price_data"])
    if not given.get("price"):
        raise invalid(f"Missing required param: {param}[price].", param=f"{param}[price]")
    price = sandbox.store.get("price", given["price"], param=f"{param}[price]", status=400)
    if not price["recurring"]:
        message = "The price specified is set to `type=one_time` but this field only accepts "
        raise invalid(message + "prices with `type=recurring`.", param=f"{param}[price]")
    if not price["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise invalid(message, param=f"{param}[price]")
    return price


def make_item(
    sandbox: Sandbox, given: dict[str, Any], *, subscription: str, param: str, at: int
) -> Object:
    """An item that is not stored yet; its period comes with the subscription's."""
    price = price_for(sandbox, given, param)
    _check_quantity(price, given, param)
    item = blank("subscription_item")
    item.update(
        id=new_id("subscription_item"),
        created=at,
        metadata={},
        price=price,
        plan=plan_of(price),
        quantity=given.get("quantity", 1),
        subscription=subscription,
        tax_rates=_rates(sandbox, given.get("tax_rates")),
    )
    if is_metered(price):
        item.pop("quantity")
    merge_metadata(item, given.get("metadata"))
    return item


def _check_quantity(price: Object, given: dict[str, Any], param: str) -> None:
    if is_metered(price) and given.get("quantity") is not None:
        message = "You cannot set the quantity on metered plans."
        raise invalid(message, param=f"{param}[quantity]")


def _rates(sandbox: Sandbox, ids: Any) -> list[Object]:
    return [sandbox.store.get("tax_rate", id, status=400) for id in ids or []]


def plan_of(price: Object) -> Object:
    """The old form of a price that Stripe still shows beside it."""
    plan, recurring = blank("plan"), price["recurring"]
    for name in ("id", "active", "billing_scheme", "created", "currency", "metadata", "nickname"):
        plan[name] = price[name]
    plan.update(
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        product=price["product"],
        **{n: recurring[n] for n in ("interval", "interval_count", "usage_type", "meter")},
    )
    return plan


def check_together(items: list[Object]) -> None:
    """One subscription has one currency, one interval, and each price once."""
    if not items:
        raise invalid("A subscription must have at least one active item.", param="items")
    prices = [item["price"]["id"] for item in items]
    if len(prices) != len(set(prices)):
        raise invalid("Cannot add multiple subscription items with the same price.", param="items")
    if len({item["price"]["currency"] for item in items}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    if len({_interval(item) for item in items}) > 1:
        message = "All prices on a subscription must have the same `recurring.interval` and "
        raise invalid(message + "`recurring.interval_count`.", param="items")


def _interval(item: Object) -> tuple[str, int]:
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def same_interval(before: list[Object], after: list[Object]) -> bool:
    return _interval(before[0]) == _interval(after[0])


def set_period(items: list[Object], start: int, end: int) -> None:
    for item in items:
        item.update(current_period_start=start, current_period_end=end)


def next_end(items: list[Object], start: int, *, anchor: int) -> int:
    interval, count = _interval(items[0])
    return period_end(start, anchor=anchor, interval=interval, count=count)


def items_of(subscription: Object) -> list[Object]:
    found: list[Object] = subscription["items"]["data"]
    return found


def period_of(subscription: Object) -> tuple[int, int]:
    first = items_of(subscription)[0]
    return first["current_period_start"], first["current_period_end"]


def changed_items(
    sandbox: Sandbox, subscription: Object, changes: list[dict[str, Any]], *, at: int
) -> list[Object]:
    """Copies of the items as they would be after `changes`."""
    after = {item["id"]: copy(item) for item in items_of(subscription)}
    start, end = period_of(subscription)
    for place, change in enumerate(changes):
        param = f"items[{place}]"
        id = change.get("id")
        if id is None:
            made = make_item(sandbox, change, subscription=subscription["id"], param=param, at=at)
            set_period([made], start, end)
            after[made["id"]] = made
        elif id not in after:
            message = f"The subscription item {id} is not part of the subscription."
            raise invalid(message, param=f"{param}[id]", code="resource_missing")
        elif change.get("deleted"):
            after.pop(id)
        else:
            _change(sandbox, after[id], change, param)
    items = list(after.values())
    check_together(items)
    return items


def _change(sandbox: Sandbox, item: Object, change: dict[str, Any], param: str) -> None:
    if change.get("price") or change.get("price_data"):
        price = price_for(sandbox, change, param)
        # Stripe goes back to one when the price changes without a quantity.
        item.update(price=price, plan=plan_of(price), quantity=1)
        if is_metered(price):
            item.pop("quantity")
    _check_quantity(item["price"], change, param)
    if "quantity" in change:
        item["quantity"] = change["quantity"]
    if "tax_rates" in change:
        item["tax_rates"] = _rates(sandbox, change["tax_rates"])
    merge_metadata(item, change.get("metadata"))


def proration_lines(
    sandbox: Sandbox,
    before: list[Object],
    after: list[Object],
    *,
    at: int,
    credit_only: bool,
    discounts: tuple[Sequence[str], Any] | None = None,
) -> list[Object]:
    """Credit for the unused time of the old items, and charge for it at the new ones.

    Usage is billed when it is counted, so there is nothing of it to give back or to add.
    `discounts`: those that hold, and those wished for; the amounts have them taken off.
    """
    held, wished = discounts or ((), None)
    old_off = coupons_of(sandbox, [{"discount": one} for one in held])
    new_off = old_off if wished is None else coupons_of(sandbox, wished or [])
    old = {item["id"]: item for item in before if not is_metered(item["price"])}
    new = {item["id"]: item for item in after if not is_metered(item["price"])}
    lines = []
    for id, item in old.items():
        if credit_only or not _is_same(item, new.get(id)):
            lines.append(_part(sandbox, item, at, sign=-1, coupons=old_off))
    for id, item in new.items():
        if not credit_only and not _is_same(item, old.get(id)):
            lines.append(_part(sandbox, item, at, sign=1, coupons=new_off))
    return lines


def _is_same(one: Object, other: Object | None) -> bool:
    if other is None or one["price"]["id"] != other["price"]["id"]:
        return False
    return bool(one.get("quantity") == other.get("quantity"))


def _part(sandbox: Sandbox, item: Object, at: int, *, sign: int, coupons: list[Object]) -> Object:
    start, end = item["current_period_start"], item["current_period_end"]
    quantity, price = item.get("quantity") or 0, item["price"]
    share = Decimal(max(0, end - at)) / Decimal(end - start)
    product = sandbox.store.find(price["product"]) or {}
    words = "Remaining time on" if sign > 0 else "Unused time on"
    full = taken_off(sandbox, cost(sandbox, price, quantity), price["product"], coupons)
    made = line(
        amount=sign * round_minor(full * share),
        currency=price["currency"],
        description=f"{words} {quantity} x {product.get('name', 'Product')}",
        period=(at, end),
        price=price,
        quantity=quantity,
        parent=item_parent(item["subscription"], item["id"], is_proration=True),
        tax_rates=item["tax_rates"],
    )
    made["discountable"] = False
    return made
