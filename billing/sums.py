"""What an invoice adds up to: before discounts, what is taken off, tax, and what is charged."""

from dataclasses import dataclass
from functools import lru_cache

from billing import gateway
from billing.gateway import Object
from billing.shapes import invoice_tax_minor
from config.errors import DomainError


@dataclass(frozen=True)
class TaxLine:
    """One tax. `inclusive`: it is in the prices; else it comes on top."""

    amount_minor: int
    inclusive: bool
    reason: str  # standard_rated, reverse_charge, ...
    name: str | None = None  # VAT; None: Stripe does not answer
    percentage: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Sums:
    """subtotal - discount + tax that comes on top = total."""

    currency: str
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    taxes: tuple[TaxLine, ...] = ()


def sums_of(invoice: Object) -> Sums:
    """Of an invoice or its preview. Asks Stripe what a tax rate is called, once for each."""
    return Sums(
        currency=invoice["currency"],
        subtotal_minor=invoice["subtotal"],
        discount_minor=discount_minor(invoice),
        tax_minor=invoice_tax_minor(invoice),
        total_minor=invoice["total"],
        taxes=tuple(_tax(one) for one in invoice.get("total_taxes") or []),
    )


def discount_minor(invoice: Object) -> int:
    return sum(one["amount"] for one in invoice.get("total_discount_amounts") or [])


def _tax(found: Object) -> TaxLine:
    rate = rate_told((found.get("tax_rate_details") or {}).get("tax_rate") or "")
    return TaxLine(
        amount_minor=found["amount"],
        inclusive=found["tax_behavior"] == "inclusive",
        reason=found["taxability_reason"] or "",
        name=rate["name"],
        percentage=rate["percentage"],
        country=rate["country"],
    )


def rate_told(rate_id: str) -> dict[str, str | None]:
    """What a tax rate is called; all None for none, or while Stripe does not answer."""
    try:
        name, percent, country = _rate_read(rate_id) if rate_id else (None, None, None)
    except DomainError:
        name, percent, country = None, None, None
    return {"name": name, "percentage": percent, "country": country}


@lru_cache(maxsize=512)  # a rate never changes: another percentage is another rate
def _rate_read(rate_id: str) -> tuple[str, str, str | None]:
    found = gateway.read(f"/v1/tax_rates/{rate_id}")
    return found["display_name"], f"{found['percentage']:g}", found["country"]
