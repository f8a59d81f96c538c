"""What of a payment was paid for which price: read from its invoice, or from its Checkout session.

A line's worth is what was paid for it: less discounts, with its tax.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from billing.gateway import Object
from billing.market.split import rounded, shares
from billing.models import Payment, Purchase
from billing.shapes import instant, ref
from billing.snapshot import Snapshot


@dataclass(frozen=True)
class Period:
    """What a line bills: [start, end)."""

    start: datetime
    end: datetime

    def joined(self, other: "Period | None") -> "Period":
        if other is None:
            return self
        return Period(min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True)
class Line:
    """`stripe_price_id` "": an amount without a price of ours, such as a custom one."""

    stripe_price_id: str
    total_minor: int
    tax_minor: int
    period: Period | None = None


def lines_of(*, payment: Payment, taken: Snapshot) -> list[Line] | None:
    """What the payment was for, one line per price, adding up to the captured amount.

    None when what was read does not tell: a later sync, or a full one, does.
    """
    invoice = taken.objects.get(payment.stripe_invoice_id)
    if invoice is not None and invoice["object"] == "invoice":
        return scaled(invoice_lines(invoice, taken.lines.get(invoice["id"])), payment)
    purchase = Purchase.objects.select_related("price", "checkout").filter(
        project=payment.project_id,
        stripe_payment_intent_id=payment.stripe_payment_intent_id,
    )
    found = purchase.first() if payment.stripe_payment_intent_id else None
    session = taken.objects.get(found.checkout.stripe_session_id) if found else None
    if found is None or session is None:
        return None
    tax = (session.get("total_details") or {}).get("amount_tax") or 0
    return [Line(found.price.stripe_price_id, payment.captured_minor, tax)]


def invoice_lines(invoice: Object, all_lines: Iterable[Object] | None) -> list[Line]:
    """`all_lines`: for an invoice with more lines than it carries itself."""
    found = invoice["lines"]["data"] if all_lines is None else all_lines
    by_price: dict[str, Line] = {}
    for line in found:
        one = _line(line)
        known = by_price.get(one.stripe_price_id, Line(one.stripe_price_id, 0, 0))
        by_price[one.stripe_price_id] = Line(
            one.stripe_price_id,
            known.total_minor + one.total_minor,
            known.tax_minor + one.tax_minor,
            one.period.joined(known.period) if one.period else known.period,
        )
    return list(by_price.values())


def _line(line: Object) -> Line:
    details = (line.get("pricing") or {}).get("price_details") or {}
    taxes = line.get("taxes") or []
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    discounts = sum(part["amount"] for part in line.get("discount_amounts") or [])
    return Line(
        stripe_price_id=ref(details.get("price")),
        total_minor=line["amount"] - discounts + added,
        tax_minor=sum(tax["amount"] for tax in taxes),
        period=_period(line.get("period")),
    )


def _period(told: Object | None) -> Period | None:
    if not told:
        return None
    return Period(instant(told["start"]), instant(told["end"]))


def scaled(lines: list[Line], payment: Payment) -> list[Line] | None:
    """The lines as parts of what was captured: less than they say, when credit paid a part."""
    captured, total = payment.captured_minor, sum(line.total_minor for line in lines)
    if total == captured:
        return lines
    if total <= 0:
        return None
    totals = shares(captured, [line.total_minor for line in lines])
    taxes = _scaled_taxes([line.tax_minor for line in lines], captured, total)
    return [
        Line(line.stripe_price_id, part, tax, line.period)
        for line, part, tax in zip(lines, totals, taxes, strict=True)
    ]


def _scaled_taxes(taxes: list[int], captured: int, total: int) -> list[int]:
    whole = rounded(Fraction(sum(taxes) * captured, total))
    if sum(taxes) == 0:
        return [rounded(Fraction(tax * captured, total)) for tax in taxes]
    return shares(whole, taxes)
