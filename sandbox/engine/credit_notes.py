"""Credit notes: an invoice corrected downwards, before or after it was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine.invoices import intent_of
from sandbox.engine.refunds import create_refund
from sandbox.errors import invalid
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

WAYS_BACK = ("refund_amount", "credit_amount", "out_of_band_amount")


def create_credit_note(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> Object:
    """`given` names the amount and, for a paid invoice, the ways back that make it up."""
    amount = _allowed_amount(sandbox, invoice, given)
    is_paid = invoice["status"] == "paid"
    note = blank("credit_note")
    note.update(
        id=new_id("credit_note"),
        amount=amount,
        created=sandbox.now(invoice),
        currency=invoice["currency"],
        customer=invoice["customer"],
        effective_at=sandbox.now(invoice),
        invoice=invoice["id"],
        memo=given.get("memo"),
        metadata={},
        number=_number(sandbox, invoice),
        out_of_band_amount=given.get("out_of_band_amount"),
        pdf=f"{sandbox.public_url}/credit_notes/{invoice['id']}.pdf",
        post_payment_amount=amount if is_paid else 0,
        pre_payment_amount=0 if is_paid else amount,
        reason=given.get("reason"),
        refunds=[],
        status="issued",
        subtotal=amount,
        subtotal_excluding_tax=amount,
        total=amount,
        total_excluding_tax=amount,
        total_taxes=[],
        type="post_payment" if is_paid else "pre_payment",
    )
    note["lines"]["url"] = f"/v1/credit_notes/{note['id']}/lines"
    merge_metadata(note, given.get("metadata"))
    _move_money(sandbox, invoice, note, given)
    sandbox.store.put(note)
    sandbox.emit("credit_note.created", note)
    return note


def void_credit_note(sandbox: Sandbox, note: Object) -> Object:
    invoice = sandbox.store.get("invoice", note["invoice"])
    if note["status"] == "void" or invoice["status"] != "open":
        raise invalid("You can only void an issued credit note on an open invoice.")
    note.update(status="void", voided_at=sandbox.now(note))
    with sandbox.changing(invoice):
        _take_off(invoice, -note["amount"])
    sandbox.emit("credit_note.voided", note)
    return note


def _allowed_amount(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> int:
    if invoice["status"] not in ("open", "paid"):
        raise invalid(f"Credit notes need an open or paid invoice; this is {invoice['status']}.")
    ways = sum(given.get(name) or 0 for name in WAYS_BACK)
    amount = given.get("amount") or ways
    left = _left(sandbox, invoice)
    if not 0 < amount <= left:
        raise invalid(f"The credit note's amount must be between 1 and {left}.", param="amount")
    if invoice["status"] == "paid" and ways != amount:
        said = "The sum of credit amount, refund amount and out of band amount must equal the"
        raise invalid(f"{said} credit note amount ({amount}).")
    return int(amount)


def _left(sandbox: Sandbox, invoice: Object) -> int:
    notes = [note for note in _notes(sandbox, invoice) if note["status"] == "issued"]
    if invoice["status"] == "open":
        return int(invoice["amount_remaining"])
    return int(invoice["total"] - sum(note["amount"] for note in notes))


def _notes(sandbox: Sandbox, invoice: Object) -> list[Object]:
    return [note for note in sandbox.store.all("credit_note") if note["invoice"] == invoice["id"]]


def _number(sandbox: Sandbox, invoice: Object) -> str:
    return f"{invoice['number']}-CN-{len(_notes(sandbox, invoice)) + 1:02}"


def _move_money(sandbox: Sandbox, invoice: Object, note: Object, given: dict[str, Any]) -> None:
    if invoice["status"] == "open":
        with sandbox.changing(invoice):
            _take_off(invoice, note["amount"])
        return
    with sandbox.changing(invoice):
        invoice["post_payment_credit_notes_amount"] += note["amount"]
    if back := given.get("refund_amount"):
        _refund(sandbox, invoice, note, back)
    if credit := given.get("credit_amount"):
        customer = sandbox.store.get("customer", invoice["customer"])
        with sandbox.changing(customer):
            customer["balance"] -= credit


def _take_off(invoice: Object, amount: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += amount
    invoice["amount_due"] -= amount
    invoice["amount_remaining"] -= amount


def _refund(sandbox: Sandbox, invoice: Object, note: Object, amount: int) -> None:
    intent = intent_of(sandbox, invoice)
    if intent is None or not intent["latest_charge"]:
        raise invalid("This invoice was not paid by a charge that could be refunded.")
    charge = sandbox.store.get("charge", intent["latest_charge"])
    refund = create_refund(sandbox, charge, amount=amount)
    note["refunds"] = [
        {
            "amount_refunded": amount,
            "payment_record_refund": None,
            "refund": refund["id"],
            "type": "refund",
        }
    ]
