"""What Stripe is told of an invoice written by hand: the invoice itself, then its lines."""

from collections.abc import Iterator
from typing import Any

from billing.models import CustomInvoice
from billing.tax import ON
from billing.tax_rates import Tax, stripe_id_of

LINES_AT_ONCE = 250  # of one call at Stripe
MARK = "latchkey_custom_invoice"


def invoice_params(row: CustomInvoice) -> dict[str, Any]:
    """The one place where the Stripe invoice's own parameters are built."""
    params: dict[str, Any] = {
        "customer": row.consumer.stripe_customer.stripe_customer_id,
        "currency": row.currency,
        "collection_method": "send_invoice",
        "days_until_due": row.days_until_due,
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        **automatic_tax(row),
    }
    if row.memo:
        params["description"] = row.memo
    if row.footer:
        params["footer"] = row.footer
    if row.po_number:
        params["custom_fields"] = [{"name": "PO number", "value": row.po_number}]
    return params


def automatic_tax(row: CustomInvoice) -> dict[str, Any]:
    return dict(ON) if row.automatic_tax else {}


def lines_params(row: CustomInvoice, part: int) -> dict[str, Any]:
    """The `part`th lines, counted from 1: all of a call are on the invoice together or not at
    all, and the mark says up to which part they are.
    """
    begin = (part - 1) * LINES_AT_ONCE
    lines = [_line_params(row, line) for line in row.lines[begin : begin + LINES_AT_ONCE]]
    return {"lines": lines, "invoice_metadata": {MARK: mark_of(row, part)}}


def mark_of(row: CustomInvoice, part: int) -> str:
    return row.public_id if part == 1 else f"{row.public_id}:{part}"


def part_of(params: dict[str, Any]) -> int:
    """Which part a call added."""
    return int(params["invoice_metadata"][MARK].partition(":")[2] or 1)


def parts_of(row: CustomInvoice) -> int:
    return -(-len(row.lines) // LINES_AT_ONCE)


def taxes_of(row: CustomInvoice) -> Iterator[Tax]:
    for line in row.lines:
        yield from line.get("taxes") or []


def _line_params(row: CustomInvoice, line: dict[str, Any]) -> dict[str, Any]:
    rates = [stripe_id_of(row.project, tax) for tax in line.get("taxes") or []]
    taxed = {"tax_rates": rates} if rates else {}
    if "price_id" in line:
        return {"pricing": {"price": line["price_id"]}, "quantity": line["quantity"], **taxed}
    priced = {
        "currency": row.currency,
        "unit_amount": line["unit_amount_minor"],
        "product_data": {"name": line["description"]},
    }
    return {
        "description": line["description"],
        "quantity": line["quantity"],
        "price_data": priced,
        **taxed,
    }
