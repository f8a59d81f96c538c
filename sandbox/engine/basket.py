"""What a Checkout session sells: its items and their sums."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.engine import tax
from sandbox.engine.discounts import Sold, coupon_for, refuse_unfit
from sandbox.engine.lines import line, tax_lines
from sandbox.engine.prices import cost, make_price, round_minor
from sandbox.engine.usage import is_metered
from sandbox.errors import invalid
from sandbox.shapes import blank
from sandbox.store import Object, new_id, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def make_items(sandbox: Sandbox, wanted: list[dict[str, Any]], *, mode: str) -> list[Object]:
    """The session's items; refuses prices that do not fit its mode or each other."""
    items = [
        _make_item(sandbox, wish, param=f"line_items[{place}]") for place, wish in enumerate(wanted)
    ]
    if not items:
        message = f"`line_items` are required when creating a Checkout Session in `{mode}` mode."
        raise invalid(message, param="line_items")
    recurring = [item for item in items if item["price"]["recurring"]]
    if mode == "payment" and recurring:
        message = "You specified `payment` mode but passed a recurring price. Either switch to "
        raise invalid(message + "`subscription` mode or use only one-time prices.", param="mode")
    if mode == "subscription" and not recurring:
        message = "You must provide at least one recurring price in `subscription` mode when "
        raise invalid(message + "using prices.", param="line_items")
    if len({item["currency"] for item in items}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    return items


def _make_item(sandbox: Sandbox, wish: dict[str, Any], *, param: str) -> Object:
    price = _price(sandbox, wish, param)
    metered = is_metered(price)
    quantity = wish.get("quantity")
    if quantity is not None and metered:
        message = "Quantity should not be specified where usage_type is `metered`. Remove "
        raise invalid(message + f"quantity from `{param}`.", param=f"{param}[quantity]")
    if quantity is None and not metered:
        raise invalid(f"Missing required param: {param}[quantity].", param=f"{param}[quantity]")
    product = sandbox.store.find(price["product"]) or {}
    amount = 0 if metered else cost(sandbox, price, quantity or 1)
    item = blank("item")
    item.pop("discounts")
    item.pop("taxes")
    item.update(
        id=f"li_{random_text(24)}",
        amount_subtotal=amount,
        amount_total=amount,
        currency=price["currency"],
        description=product.get("name"),
        metadata=dict(wish.get("metadata") or {}),
        price=price,
        quantity=quantity,
    )
    rates = wish.get("tax_rates") or []
    found = [sandbox.store.get("tax_rate", rate, status=400) for rate in rates]
    sandbox.store.hide(item["id"], tax_rates=found)
    return item


def _price(sandbox: Sandbox, wish: dict[str, Any], param: str) -> Object:
    data = dict(wish.get("price_data") or {})
    if bool(data) == bool(wish.get("price")):
        message = f"You must specify either `price` or `price_data` in `{param}`."
        raise invalid(message, param=param)
    if not data:
        price = sandbox.store.get("price", wish["price"], param=f"{param}[price]", status=400)
        if not price["active"]:
            message = "The price specified is inactive. This field only accepts active prices."
            raise invalid(message, param=f"{param}[price]")
        return price
    product_data = data.pop("product_data", None)
    if product_data:
        data["product"] = _product(sandbox, product_data)["id"]
    sandbox.store.get("product", data["product"], param=f"{param}[price_data]", status=400)
    return make_price(sandbox, data)


def _product(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    product, now = blank("product"), sandbox.now()
    product.update({name: value for name, value in given.items() if name in product})
    product.update(id=new_id("product"), active=True, type="service", created=now, updated=now)
    product["metadata"] = dict(given.get("metadata") or {})
    sandbox.store.put(product)
    sandbox.emit("product.created", product)
    return product


def write_sums(
    sandbox: Sandbox, session: Object, items: list[Object], *, due_later: bool = False
) -> None:
    """Give items and session their sums; `due_later`: a trial makes the recurring ones free."""
    for item in items:
        free = due_later and item["price"]["recurring"]
        metered = is_metered(item["price"])
        full = 0 if metered else cost(sandbox, item["price"], item["quantity"] or 0)
        item.update(amount_subtotal=0 if free else full, amount_discount=0, amount_tax=0)
    for wish in session["discounts"] or []:
        _take_off(sandbox, wish, items)
    for item in items:
        item["amount_tax"], added = _tax(sandbox, session, item)
        item["amount_total"] = item["amount_subtotal"] - item["amount_discount"] + added
    total = {name: sum(item[name] for item in items) for name in ("amount_discount", "amount_tax")}
    session.update(
        amount_subtotal=sum(item["amount_subtotal"] for item in items),
        amount_total=sum(item["amount_total"] for item in items),
        currency=items[0]["currency"],
        total_details={**total, "amount_shipping": 0},
    )


def _take_off(sandbox: Sandbox, wish: dict[str, Any], items: list[Object]) -> None:
    coupon = sandbox.store.get("coupon", wish["coupon"])
    limited = sandbox.store.secret(coupon["id"], "applies_to")
    left = coupon["amount_off"]
    for item in items:
        base = item["amount_subtotal"] - item["amount_discount"]
        if limited and item["price"]["product"] not in limited["products"]:
            continue
        if left is None:
            off = round_minor(Decimal(base) * Decimal(str(coupon["percent_off"])) / 100)
        else:
            off = min(left, base)
            left -= off
        item["amount_discount"] += off


def _tax(sandbox: Sandbox, session: Object, item: Object) -> tuple[int, int]:
    """(tax on the item, how much of it is added to the price)."""
    rates = sandbox.store.secret(item["id"], "tax_rates") or []
    made = line(
        amount=item["amount_subtotal"],
        currency=item["currency"],
        description=None,
        period=(0, 0),
        tax_rates=rates,
    )
    made["discount_amounts"] = [{"amount": item["amount_discount"], "discount": ""}]
    if session["automatic_tax"]["enabled"]:
        _tax_by_place(sandbox, session, item, made)
    taxes = tax_lines([made], [])
    exclusive = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    return sum(tax["amount"] for tax in taxes), exclusive


def _tax_by_place(sandbox: Sandbox, session: Object, item: Object, made: Object) -> None:
    """By the customer's address, or the one that the buyer typed."""
    customer = sandbox.store.find(session["customer"]) or {"id": "", "tax_exempt": "none"}
    typed = sandbox.store.secret(session["id"], "address")
    buyer = {**customer, "address": typed} if typed else customer
    where = tax.location_of(buyer)
    session["automatic_tax"]["status"] = tax.COMPLETE if where else tax.LACKING
    product = sandbox.store.find(item["price"]["product"]) or {}
    tax.rate_line(sandbox, made, buyer, where, item["price"], product)


def redeem(
    sandbox: Sandbox,
    wanted: list[dict[str, Any]],
    *,
    at: int,
    items: list[Object],
    customer: str | None,
) -> list[dict[str, Any]]:
    """The session's discounts as {coupon, promotion_code}; refuses what cannot be redeemed."""
    made = []
    refuse_unfit(sandbox, wanted, customer, at=at, sold=Sold.of(items))
    for place, wish in enumerate(wanted):
        coupon, code = coupon_for(sandbox, wish, param=f"discounts[{place}]", at=at)
        made.append({"coupon": coupon["id"], "promotion_code": code["id"] if code else None})
    return made


def find_code(sandbox: Sandbox, text: str) -> Object | None:
    """The active promotion code that a buyer typed, in any case."""
    for code in sandbox.store.newest_first("promotion_code"):
        if code["active"] and code["code"].casefold() == text.strip().casefold():
            return code
    return None
