"""Stripe Tax: where the customer is, what rate follows, and what is lacking to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine.tax_table import EU, NONTAXABLE, RATES, STATES, US_PREFIXES
from sandbox.errors import StripeError
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

COMPLETE, LACKING = "complete", "requires_location_inputs"
INVALID = "customer_tax_location_invalid"


def location_of(customer: Object) -> tuple[str, str] | None:
    """(country, state) of the shipping address, else the billing address; None: not precise."""
    shipping = (customer.get("shipping") or {}).get("address")
    address = shipping if shipping and shipping.get("country") else customer.get("address")
    return place_of(address or {})


def place_of(address: dict[str, Any]) -> tuple[str, str] | None:
    country, state = (address.get("country") or "").upper(), (address.get("state") or "").upper()
    postal = (address.get("postal_code") or "").strip()
    if len(country) != 2 or not country.isalpha():
        return None
    if country == "US":
        is_postal = postal[:5].isdigit() and len(postal) >= 5
        return ("US", state or _state_of(postal)) if is_postal else None
    if country == "CA":
        return ("CA", state) if state else None
    return country, state


def _state_of(postal: str) -> str:
    for state, (first, last) in US_PREFIXES.items():
        if first <= postal[:3] <= last:
            return state
    return ""


def require_location(sandbox: Sandbox, customer: Object) -> None:
    if location_of(customer) is None:
        raise invalid_location()


def invalid_location(param: str | None = None) -> StripeError:
    message = "The customer's location isn't recognized. Set a valid customer address in order to "
    return StripeError(400, message + "automatically calculate tax.", code=INVALID, param=param)


def write_automatic(sandbox: Sandbox, invoice: Object, lines: list[Object]) -> None:
    """Give each line the rate of the customer's place, and the invoice the state of that."""
    customer = sandbox.store.get("customer", invoice["customer"])
    where = location_of(customer)
    invoice["automatic_tax"].update(status=COMPLETE if where else LACKING, provider="stripe")
    for one in lines:
        details = (one["pricing"] or {}).get("price_details") or {}
        price = sandbox.store.find(details.get("price")) or {}
        product = sandbox.store.find(details.get("product")) or {}
        rate_line(sandbox, one, customer, where, price, product)


def rate_line(
    sandbox: Sandbox,
    one: Object,
    customer: Object,
    where: tuple[str, str] | None,
    price: Object,
    product: Object,
) -> None:
    """What `tax_lines` then counts."""
    inclusive = price.get("tax_behavior") == "inclusive"
    one["_tax_rates"], one["_taxability"] = [], "standard_rated"
    if where is None:
        return
    found = STATES.get(where) or RATES.get(where[0])
    if found is None:
        return
    reason = _why_nothing(sandbox, customer, where, product)
    kind, name, percent = found
    rate = _rate(sandbox, where, kind, name, "0" if reason else percent, inclusive)
    one["_tax_rates"], one["_taxability"] = [rate], reason or "standard_rated"


def _why_nothing(
    sandbox: Sandbox, customer: Object, where: tuple[str, str], product: Object
) -> str | None:
    if customer.get("tax_exempt") == "exempt":
        return "customer_exempt"
    if product.get("tax_code") == NONTAXABLE:
        return "product_exempt"
    types = {one["type"] for one in ids_of(sandbox, customer["id"])} if customer.get("id") else ()
    is_business = where[0] in EU and "eu_vat" in types
    return "reverse_charge" if is_business or customer.get("tax_exempt") == "reverse" else None


def ids_of(sandbox: Sandbox, customer: str) -> list[Object]:
    return [one for one in sandbox.store.newest_first("tax_id") if one["customer"] == customer]


def shown_ids(sandbox: Sandbox, customer: str) -> list[dict[str, str]]:
    return [{"type": one["type"], "value": one["value"]} for one in ids_of(sandbox, customer)]


def _rate(
    sandbox: Sandbox, where: tuple[str, str], kind: str, name: str, percent: str, inclusive: bool
) -> Object:
    """Stripe makes a rate for each place; the same one is taken again."""
    country, state = where[0], where[1] if where in STATES else None
    wanted = {"country": country, "state": state, "tax_type": kind, "inclusive": inclusive}
    for known in sandbox.store.all("tax_rate"):
        if known["percentage"] == float(percent) and wanted.items() <= known.items():
            return known
    rate = blank("tax_rate")
    rate.update(
        wanted,
        id=new_id("tax_rate"),
        active=False,  # not to be used by hand
        created=sandbox.now(),
        display_name=name,
        effective_percentage=float(percent),
        jurisdiction=state or country,
        jurisdiction_level="state" if state else "country",
        percentage=float(percent),
        rate_type="percentage",
    )
    return sandbox.store.put(rate)
