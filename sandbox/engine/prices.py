"""What a price is, and what a quantity of it costs."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from sandbox import generic
from sandbox.engine.usage import METER
from sandbox.errors import invalid
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def make_price(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """A price from the parameters of prices, price_data or default_price_data."""
    price = generic.new(sandbox, "price", given)
    recurring = given.get("recurring")
    price["type"] = "recurring" if recurring else "one_time"
    price["recurring"] = _recurring(sandbox, recurring) if recurring else None
    price["tax_behavior"] = given.get("tax_behavior", "unspecified")
    _write_amount(price, given)
    take_lookup_key(sandbox, price, transfer=given.get("transfer_lookup_key", False))
    tiers = [_tier(tier) for tier in given.get("tiers", [])]
    sandbox.store.hide(price["id"], tiers=tiers or None, currency_options=_options(price))
    sandbox.store.put(price)
    sandbox.emit("price.created", price)
    return price


def _recurring(sandbox: Sandbox, given: dict[str, Any]) -> dict[str, Any]:
    _check_meter(sandbox, given)
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": given.get("meter"),
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": given.get("usage_type", "licensed"),
    }


def _check_meter(sandbox: Sandbox, given: dict[str, Any]) -> None:
    """Metered prices bill what a meter counted, and only they do."""
    is_metered, meter = given.get("usage_type") == "metered", given.get("meter")
    if is_metered != bool(meter):
        message = "Prices with `usage_type=metered` must be backed by a meter, and only they can."
        raise invalid(message, param="recurring[meter]")
    if meter:
        found = sandbox.store.get(METER, meter, param="recurring[meter]", status=400)
        if found["status"] != "active":
            message = f"The meter {meter} is inactive: you cannot attach it to a price."
            raise invalid(message, param="recurring[meter]")


def _write_amount(price: Object, given: dict[str, Any]) -> None:
    amount, exact = given.get("unit_amount"), given.get("unit_amount_decimal")
    is_open = price["billing_scheme"] == "tiered" or given.get("custom_unit_amount")
    if amount is None and exact is None and not is_open:
        message = "Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set."
        raise invalid(message, param="unit_amount")
    if exact is not None:
        value = Decimal(str(exact))
        amount = int(value) if value == int(value) else None
    price["unit_amount"] = amount
    price["unit_amount_decimal"] = str(exact if exact is not None else amount or 0)
    if amount is None and exact is None:
        price["unit_amount_decimal"] = None


def _tier(given: dict[str, Any]) -> dict[str, Any]:
    amounts = {}
    for name in ("unit_amount", "flat_amount"):
        exact = given.get(f"{name}_decimal", given.get(name))
        amounts[name] = given.get(name)
        amounts[f"{name}_decimal"] = None if exact is None else str(exact)
    bound = given["up_to"]
    return {**amounts, "up_to": None if bound == "inf" else int(bound)}


def _options(price: Object) -> dict[str, Any]:
    own = {
        "custom_unit_amount": None,
        "tax_behavior": price["tax_behavior"],
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": price["unit_amount_decimal"],
    }
    return {price["currency"]: own}


def take_lookup_key(sandbox: Sandbox, price: Object, *, transfer: bool) -> None:
    key = price["lookup_key"]
    if not key:
        return
    for other in sandbox.store.all("price"):
        if other["lookup_key"] == key and other["id"] != price["id"]:
            if not transfer:
                message = f"A price (`{other['id']}`) already uses that lookup key."
                raise invalid(message, param="lookup_key")
            other["lookup_key"] = None


def round_minor(value: Decimal) -> int:
    """To whole minor units, a half away from zero: the sandbox's only rounding."""
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def cost(sandbox: Sandbox, price: Object, quantity: int) -> int:
    """Minor units for this many of the price."""
    divide = price.get("transform_quantity")
    if divide:
        whole, rest = divmod(quantity, divide["divide_by"])
        quantity = whole + (1 if rest and divide["round"] == "up" else 0)
    if price["billing_scheme"] == "tiered":
        return _tiered(sandbox.store.secret(price["id"], "tiers") or [], price, quantity)
    return round_minor(Decimal(price["unit_amount_decimal"] or 0) * quantity)


def _tiered(tiers: list[dict[str, Any]], price: Object, quantity: int) -> int:
    """Volume: all units at the reached tier; graduated: each unit at its own."""
    total, below = Decimal(0), 0
    for tier in tiers:
        top = tier["up_to"]
        is_last = top is None or quantity <= top
        unit = Decimal(tier["unit_amount_decimal"] or 0)
        flat = Decimal(tier["flat_amount_decimal"] or 0)
        if price["tiers_mode"] == "volume":
            if is_last:
                return round_minor(unit * quantity + flat)
            continue
        total += unit * ((quantity if is_last else top) - below) + flat
        if is_last:
            break
        below = top
    return round_minor(total)
