"""What a credit note comes to: its lines, their taxes, and the sums."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.engine.lines import tax_on
from sandbox.engine.prices import round_minor
from sandbox.errors import invalid
from sandbox.lists import list_of
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def sums_of(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> dict[str, Any]:
    """The amounts of a note, and its lines where it names any."""
    wanted, amount = given.get("lines"), given.get("amount")
    if (amount is None) == (not wanted):
        raise invalid("One of `amount`, `lines`, or `shipping_cost` must be provided, and only one")
    if not wanted:
        return _of_amount(invoice, int(amount or 0))
    lines = [_line(sandbox, invoice, one) for one in wanted]
    return {**_totals(lines), "lines": list_of(lines, url="")}


def _of_amount(invoice: Object, amount: int) -> dict[str, Any]:
    """A bare amount holds its share of the invoice's taxes."""
    share = Decimal(amount) / (invoice["total"] or 1)
    taxes = [_part(tax, share) for tax in invoice["total_taxes"] or []]
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    net = amount - sum(tax["amount"] for tax in taxes)
    return {
        "amount": amount,
        "subtotal": amount - added,
        "subtotal_excluding_tax": net,
        "total": amount,
        "total_excluding_tax": net,
        "total_taxes": taxes,
    }


def _totals(lines: list[Object]) -> dict[str, Any]:
    taxes: dict[tuple[str, str], dict[str, Any]] = {}
    for tax in [tax for one in lines for tax in one["taxes"]]:
        key = (tax["tax_rate_details"]["tax_rate"], tax["tax_behavior"])
        sum_ = taxes.setdefault(key, {**tax, "amount": 0, "taxable_amount": 0})
        sum_["amount"] += tax["amount"]
        sum_["taxable_amount"] += tax["taxable_amount"]
    subtotal = sum(one["amount"] for one in lines)
    off = sum(one["discount_amount"] for one in lines)
    added = sum(t["amount"] for t in taxes.values() if t["tax_behavior"] == "exclusive")
    inside = sum(t["amount"] for t in taxes.values() if t["tax_behavior"] == "inclusive")
    total = subtotal - off + added
    return {
        "amount": total,
        "discount_amount": off,
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - inside,
        "total": total,
        "total_excluding_tax": total - added - inside,
        "total_taxes": list(taxes.values()),
    }


def _line(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> Object:
    of_invoice = given["type"] == "invoice_line_item"
    made = _of_line(sandbox, invoice, given) if of_invoice else _by_hand(sandbox, given)
    made.update(id=new_id("credit_note_line_item"), livemode=False, type=given["type"])
    merge_metadata(made, given.get("metadata"))
    return made


def _of_line(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> Object:
    """A part of a line of the invoice, by quantity or amount, with its discounts and taxes."""
    known = {one["id"]: one for one in invoice["lines"]["data"]}
    of = known.get(str(given.get("invoice_line_item")))
    if of is None:
        raise invalid(
            f"No such invoice line item: '{given.get('invoice_line_item')}'",
            param="lines",
            code="resource_missing",
        )
    share = _share(sandbox, invoice, of, given)
    made = blank("credit_note_line_item")
    off = round_minor(sum(part["amount"] for part in of["discount_amounts"]) * share)
    made.update(
        amount=round_minor(of["amount"] * share),
        description=of["description"],
        discount_amount=off,
        invoice_line_item=of["id"],
        quantity=given.get("quantity"),
        tax_rates=[],
        taxes=[_part(tax, share) for tax in of["taxes"] or []],
        unit_amount=None,
        unit_amount_decimal=None,
    )
    return made


def _share(sandbox: Sandbox, invoice: Object, of: Object, given: dict[str, Any]) -> Decimal:
    quantity, amount = given.get("quantity"), given.get("amount")
    if (quantity is None) == (amount is None):
        raise invalid("A line of the invoice is credited by `quantity` or by `amount`.")
    whole = of["quantity"] if amount is None else of["amount"]
    wanted = quantity if amount is None else amount
    share = Decimal(int(wanted or 0)) / (whole or 1)
    if not 0 < share <= 1 - _credited(sandbox, invoice, of):
        raise invalid("More of this line is credited than there is left of it.", param="lines")
    return share


def _credited(sandbox: Sandbox, invoice: Object, of: Object) -> Decimal:
    """Which part of the line issued notes took before."""
    taken = sum(
        one["amount"]
        for note in sandbox.store.all("credit_note")
        if note["invoice"] == invoice["id"] and note["status"] == "issued"
        for one in note["lines"]["data"]
        if one["invoice_line_item"] == of["id"]
    )
    return Decimal(taken) / (of["amount"] or 1)


def _by_hand(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    quantity = given.get("quantity") or 1
    each = Decimal(str(given.get("unit_amount_decimal", given.get("unit_amount", 0))))
    if not given.get("description") or each <= 0:
        raise invalid("A custom line needs a description and a unit amount.", param="lines")
    rates = [sandbox.store.get("tax_rate", id, status=400) for id in given.get("tax_rates") or []]
    amount = round_minor(each * quantity)
    made = blank("credit_note_line_item")
    made.update(
        amount=amount,
        description=given["description"],
        invoice_line_item=None,
        quantity=quantity,
        tax_rates=rates,
        taxes=[tax_on(amount, rate) for rate in rates],
        unit_amount=given.get("unit_amount"),
        unit_amount_decimal=str(each),
    )
    return made


def _part(tax: dict[str, Any], share: Decimal) -> dict[str, Any]:
    parts = {name: round_minor(tax[name] * share) for name in ("amount", "taxable_amount")}
    return {**tax, **parts}
