"""The lines of an invoice as people type or paste them, and taxes in words: "VAT 19 inclusive"."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.money import minor_of, typed
from billing.tax_rates import Tax, named_tax
from config.errors import InvalidInput

TAX = re.compile(r"(?P<name>.+?)\s+(?P<rate>\d{1,3}(?:\.\d{1,4})?)\s*%?(?P<inside>\s+incl\w*\.?)?")
RATE_ID = re.compile(r"txr_\w+")
LARGEST_QUANTITY = 1_000_000
LONGEST_WORDS = 250


def taxes_in(text: str) -> list[Tax]:
    """ "VAT 19, txr_1" -> the rates; one that is Stripe's has its id alone until it is read."""
    return [_tax(part.strip()) for part in text.split(",") if part.strip()]


def _tax(part: str) -> Tax:
    if RATE_ID.fullmatch(part):
        return {"tax_rate_id": part}
    found = TAX.fullmatch(part)
    if found is None or Decimal(found["rate"]) > 100 or len(found["name"]) > 50:
        raise InvalidInput(f"Write a tax like VAT 19, VAT 19 inclusive, or txr_...; not {part}.")
    return named_tax(
        name=found["name"], percentage=Decimal(found["rate"]), inclusive=bool(found["inside"])
    )


def lines_in(text: str, currency: str) -> list[dict[str, Any]]:
    """One line per row: words, quantity, price, tax; with tabs, as a spreadsheet copies them, or
    with | between. A price of the catalogue (price_...) stands in place of words and price.
    """
    rows = [row for row in text.splitlines() if row.strip()]
    lines = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row.split("\t" if "\t" in row else "|")]
        try:
            lines.append(line_of(cells, currency))
        except InvalidInput as problem:
            raise InvalidInput(f"Line {number}: {problem.message}") from problem
    return lines


def line_of(cells: Sequence[str], currency: str) -> dict[str, Any]:
    words, many, each, tax, *more = [*cells, "", "", "", ""]
    if any(more) or not words:
        raise InvalidInput("A line is words, quantity, price and tax, in this order.")
    if len(words) > LONGEST_WORDS:
        raise InvalidInput(f"The words of a line have up to {LONGEST_WORDS} characters.")
    line: dict[str, Any] = {"quantity": _quantity(many)}
    if words.startswith("price_") and not each:
        line["price_id"] = words
    else:
        line |= {"description": words, "unit_amount_minor": minor_of(each, currency)}
    taxes = taxes_in(tax)
    return {**line, "taxes": taxes} if taxes else line


def _quantity(text: str) -> int:
    plain = text.strip() or "1"
    if not (plain.isascii() and plain.isdigit() and 1 <= int(plain[:8]) <= LARGEST_QUANTITY):
        raise InvalidInput(f"A quantity is a whole number from 1 to {LARGEST_QUANTITY}.")
    return int(plain)


def cells_of(line: Mapping[str, Any], currency: str) -> list[str]:
    """What `line_of` reads back."""
    words = line.get("price_id") or line["description"]
    minor = line.get("unit_amount_minor")
    each = "" if minor is None else typed(minor, currency)
    return [words, str(line["quantity"]), each, words_of(line.get("taxes") or [])]


def text_of(lines: Iterable[Mapping[str, Any]], currency: str) -> str:
    return "\n".join("\t".join(cells_of(line, currency)) for line in lines)


def words_of(taxes: Iterable[Tax]) -> str:
    return ", ".join(
        tax.get("tax_rate_id")
        or f"{tax['name']} {tax['percentage']}{' inclusive' if tax['inclusive'] else ''}"
        for tax in taxes
    )
