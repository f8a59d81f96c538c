"""The sums of an invoice: what its lines, discounts, taxes and the customer's balance come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import tax
from sandbox.engine.lines import discount_lines, tax_lines
from sandbox.lists import list_of
from sandbox.money import nearest
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def write_lines(sandbox: Sandbox, invoice: Object, lines: list[Object]) -> None:
    """Give the draft these lines and the sums that follow."""
    for one in lines:
        if "_tax_rates" not in one:
            one["_tax_rates"] = _rates_of(sandbox, one)
        one.update(invoice=invoice["id"], discount_amounts=[], taxes=[])
    off = discount_lines(sandbox, lines, invoice["discounts"])
    if invoice["automatic_tax"]["enabled"]:
        tax.write_automatic(sandbox, invoice, lines)
    taxes = tax_lines(lines, invoice["default_tax_rates"])
    subtotal = sum(one["amount"] for one in lines)
    exclusive = sum(t["amount"] for t in taxes if t["tax_behavior"] == "exclusive")
    inclusive = sum(t["amount"] for t in taxes if t["tax_behavior"] == "inclusive")
    total = subtotal - sum(off.values()) + exclusive
    balance = sandbox.store.get("customer", invoice["customer"])["balance"] or 0
    due = nearest(max(0, total + balance), invoice["currency"]) if total > 0 else 0
    url = f"/v1/invoices/{invoice['id']}/lines"
    invoice.update(
        lines=list_of(lines, url=url),
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal - inclusive,
        total=total,
        total_excluding_tax=total - sum(t["amount"] for t in taxes),
        total_discount_amounts=[{"amount": a, "discount": d} for d, a in off.items()],
        total_pretax_credit_amounts=[],
        total_taxes=taxes,
        starting_balance=balance,
        amount_due=due,
        amount_remaining=due,
    )


def _rates_of(sandbox: Sandbox, one: Object) -> list[Object]:
    """The rates of a line that was written before: its taxes are counted anew with it."""
    details = [tax["tax_rate_details"] for tax in one.get("taxes") or []]
    found = [sandbox.store.find(each["tax_rate"]) for each in details if each]
    return [rate for rate in found if rate]
