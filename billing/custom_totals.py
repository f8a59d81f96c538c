"""What an invoice written by hand comes to, reckoned before Stripe is told: line by line, half up.

Taxes that Stripe finds by itself are not in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from billing.credit_sums import rounded


@dataclass(frozen=True)
class TaxSum:
    name: str
    percentage: str
    inclusive: bool
    amount_minor: int


@dataclass(frozen=True)
class Totals:
    """`tax_minor` is part of the total, whether it was on top or inside of the prices."""

    subtotal_minor: int
    tax_minor: int
    total_minor: int
    taxes: tuple[TaxSum, ...]


def tax_on(amount_minor: int, percentage: str, *, inclusive: bool) -> int:
    """The tax on top of an amount, or the tax inside of it."""
    rate = Fraction(percentage)
    share = rate / (100 + rate) if inclusive else rate / 100
    return rounded(amount_minor * share)


def totals_of(lines: Iterable[Mapping[str, Any]]) -> Totals:
    """Of lines with `quantity`, `unit_amount_minor` and `taxes`."""
    subtotal = 0
    sums: dict[tuple[str, str, bool], int] = {}
    for line in lines:
        amount = line["quantity"] * line["unit_amount_minor"]
        subtotal += amount
        for tax in line.get("taxes") or []:
            key = (tax["name"], tax["percentage"], tax["inclusive"])
            found = tax_on(amount, tax["percentage"], inclusive=tax["inclusive"])
            sums[key] = sums.get(key, 0) + found
    taxes = tuple(TaxSum(*key, amount) for key, amount in sums.items())
    added = sum(tax.amount_minor for tax in taxes if not tax.inclusive)
    return Totals(subtotal, sum(sums.values()), subtotal + added, taxes)
