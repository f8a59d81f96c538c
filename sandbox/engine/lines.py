"""The lines of an invoice, and what discounts and tax rates make of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.engine.prices import cost, round_minor
from sandbox.engine.usage import is_metered, used
from sandbox.money import decimals, show
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def line(
    *,
    amount: int,
    currency: str,
    description: str | None,
    period: tuple[int, int],
    price: Object | None = None,
    quantity: int | None = 1,
    parent: dict[str, Any] | None = None,
    tax_rates: list[Object] | None = None,
) -> Object:
    made = blank("line_item")
    made.update(
        id=new_id("line_item"),
        amount=amount,
        currency=currency,
        description=description,
        discountable=amount > 0,
        discount_amounts=[],
        period={"start": period[0], "end": period[1]},
        pretax_credit_amounts=[],
        quantity=quantity,
        quantity_decimal=None if quantity is None else str(quantity),
        parent=parent,
        subtotal=amount,
        taxes=[],
    )
    if price:
        made["pricing"] = {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        }
    made["_tax_rates"] = tax_rates or []
    return made


def item_parent(
    subscription: str, item: str | None, *, is_proration: bool, invoice_item: str | None = None
) -> dict[str, Any]:
    """What a line of a subscription points back to."""
    details = {
        "invoice_item": invoice_item,
        "proration": is_proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
        "subscription_item": item or "",
    }
    return {
        "invoice_item_details": None,
        "subscription_item_details": details,
        "type": "subscription_item_details",
    }


def invoice_item_parent(item: Object) -> dict[str, Any]:
    """A proration points to its subscription, any other item to itself."""
    of = (item["parent"] or {}).get("subscription_details")
    if of:
        return item_parent(
            of["subscription"],
            of["subscription_item"],
            is_proration=item["proration"],
            invoice_item=item["id"],
        )
    details = {
        "invoice_item": item["id"],
        "proration": item["proration"],
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    return {
        "invoice_item_details": details,
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }


def words_for(sandbox: Sandbox, price: Object, quantity: int) -> str:
    product = sandbox.store.find(price["product"]) or {}
    name, recurring = product.get("name", "Product"), price["recurring"]
    each = _each(price)
    if not recurring:
        return f"{quantity} x {name}"
    every = recurring["interval"]
    if recurring["interval_count"] > 1:
        every = f"{recurring['interval_count']} {every}s"
    return f"{quantity} x {name} (at {each} / {every})"


def _each(price: Object) -> str:
    """The unit price as Stripe writes it: fractions of a cent too, tiers by their name."""
    if price["unit_amount"] is not None:
        return show(price["unit_amount"], price["currency"])
    exact = price["unit_amount_decimal"]
    if exact is None:
        return "tiered price"
    currency = price["currency"]
    return f"{currency.upper()} {Decimal(exact).scaleb(-decimals(currency)):f}"


def cycle_line(
    sandbox: Sandbox,
    subscription: Object,
    item: Object,
    period: tuple[int, int],
    *,
    is_trial: bool,
    arrears: tuple[int, int] | None = None,
) -> Object:
    """One item of a subscription for one period, in advance.

    A metered one costs what was used in `arrears`, the period that ended; nothing without one.
    """
    price, quantity = item["price"], item.get("quantity") or 0
    metered = is_metered(price)
    if metered and arrears:
        period = arrears
        quantity = 0 if is_trial else used(sandbox, price, subscription["customer"], arrears)
    words = words_for(sandbox, price, quantity)
    if is_trial:
        product = sandbox.store.find(price["product"]) or {}
        words = f"Trial period for {product.get('name', 'Product')}"
    return line(
        amount=0 if is_trial or (metered and not arrears) else cost(sandbox, price, quantity),
        currency=price["currency"],
        description=words,
        period=period,
        price=price,
        quantity=quantity,
        parent=item_parent(subscription["id"], item["id"], is_proration=False),
        tax_rates=item["tax_rates"] or subscription["default_tax_rates"],
    )


def discount_lines(sandbox: Sandbox, lines: list[Object], discounts: list[str]) -> dict[str, int]:
    """Spread each discount over the lines; gives {discount: amount}."""
    totals: dict[str, int] = {}
    for id in discounts:
        coupon = sandbox.store.get("coupon", sandbox.store.get("discount", id)["source"]["coupon"])
        left = coupon["amount_off"]
        for one in lines:
            taken = sum(part["amount"] for part in one["discount_amounts"])
            base = one["amount"] - taken
            if not one["discountable"] or not _covers(sandbox, coupon, one):
                continue
            if left is None:
                off = round_minor(Decimal(base) * Decimal(str(coupon["percent_off"])) / 100)
            else:
                off = min(left, base)
                left -= off
            one["discount_amounts"].append({"amount": off, "discount": id})
            totals[id] = totals.get(id, 0) + off
    return totals


def _covers(sandbox: Sandbox, coupon: Object, one: Object) -> bool:
    limited = sandbox.store.secret(coupon["id"], "applies_to")
    if not limited:
        return True
    product = ((one["pricing"] or {}).get("price_details") or {}).get("product")
    return product in limited["products"]


def tax_lines(lines: list[Object], default_rates: list[Object]) -> list[dict[str, Any]]:
    """Write each line's taxes; gives the sums by rate."""
    totals: dict[str, dict[str, Any]] = {}
    for one in lines:
        net = one["amount"] - sum(part["amount"] for part in one["discount_amounts"])
        reason = one.pop("_taxability", "standard_rated")
        for rate in one.pop("_tax_rates", None) or default_rates:
            tax = tax_on(net, rate, reason)
            one["taxes"].append(tax)
            total = totals.setdefault(rate["id"], {**tax, "amount": 0, "taxable_amount": 0})
            total["amount"] += tax["amount"]
            total["taxable_amount"] += tax["taxable_amount"]
    return list(totals.values())


def tax_on(net: int, rate: Object, reason: str = "standard_rated") -> dict[str, Any]:
    """The tax of one amount at one rate: inside of it, or on top."""
    percent = Decimal(str(rate["percentage"]))
    share = percent / (100 + percent) if rate["inclusive"] else percent / 100
    amount = round_minor(Decimal(net) * share)
    return {
        "amount": amount,
        "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": reason,
        "taxable_amount": net - amount if rate["inclusive"] else net,
        "type": "tax_rate_details",
    }
