"""What crediting lines of an invoice comes to, reckoned as Stripe does: by share, half up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from config.errors import InvalidInput


@dataclass(frozen=True)
class Credited:
    """`amount_minor` holds `tax_minor`."""

    amount_minor: int
    tax_minor: int


def rounded(value: Fraction) -> int:
    """To whole minor units, a half up; amounts are never negative here."""
    return floor(value + Fraction(1, 2))


def credited_of(
    wanted: Iterable[Mapping[str, Any]], lines: Mapping[str, Mapping[str, Any]]
) -> Credited:
    """The sum over parts of the invoice's lines, by quantity or amount, and lines by hand.

    `lines`: the invoice's, by Stripe's id. Raises InvalidInput for a line it does not have.
    """
    amount = tax = 0
    for one in wanted:
        if "line_id" not in one:
            amount += one["unit_amount_minor"] * one["quantity"]
            continue
        part = _part(one, lines)
        amount, tax = amount + part.amount_minor, tax + part.tax_minor
    return Credited(amount, tax)


def _part(wanted: Mapping[str, Any], lines: Mapping[str, Mapping[str, Any]]) -> Credited:
    of = lines.get(wanted["line_id"])
    if of is None:
        raise InvalidInput(f"The invoice has no line {wanted['line_id']}: see its lines.")
    share = _share(wanted, of)
    off = rounded(share * sum(one["amount"] for one in of.get("discount_amounts") or []))
    taxes = [(tax, rounded(share * tax["amount"])) for tax in of.get("taxes") or []]
    added = sum(minor for tax, minor in taxes if tax["tax_behavior"] == "exclusive")
    net = rounded(share * of["amount"]) - off
    return Credited(net + added, sum(minor for _, minor in taxes))


def _share(wanted: Mapping[str, Any], of: Mapping[str, Any]) -> Fraction:
    quantity = wanted.get("quantity")
    part, whole = (quantity, of["quantity"]) if quantity else (wanted["amount_minor"], of["amount"])
    if not whole or not 0 < part <= whole:
        said = f"Line {wanted['line_id']} has {whole or 0}: credit that much at most."
        raise InvalidInput(said)
    return Fraction(part, whole)
