"""Credit notes: an invoice corrected downwards, before or after it was paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import payments
from sandbox.engine.credited import sums_of
from sandbox.engine.invoices import intent_of, mark_paid
from sandbox.engine.refunds import create_refund
from sandbox.errors import invalid
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

WAYS_BACK = ("refund_amount", "credit_amount", "out_of_band_amount")
GONE = ("failed", "canceled")


def create_credit_note(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> Object:
    """`given` names the amount or the lines and, for what was paid, the ways back that make it up:
    a new refund, refunds made before, the customer's balance, or money outside of Stripe.
    """
    note = draft_credit_note(sandbox, invoice, given)
    _move_money(sandbox, invoice, note, given)
    sandbox.store.put(note)
    sandbox.emit("credit_note.created", note)
    return note


def draft_credit_note(sandbox: Sandbox, invoice: Object, given: dict[str, Any]) -> Object:
    """The note with its sums; nothing is stored and no money moves, so previews use it as well."""
    _check_status(invoice)
    note = blank("credit_note")
    note.update(
        id=new_id("credit_note"),
        created=sandbox.now(invoice),
        currency=invoice["currency"],
        customer=invoice["customer"],
        effective_at=given.get("effective_at") or sandbox.now(invoice),
        invoice=invoice["id"],
        memo=given.get("memo"),
        metadata={},
        number=_number(sandbox, invoice),
        out_of_band_amount=given.get("out_of_band_amount"),
        reason=given.get("reason"),
        status="issued",
        **sums_of(sandbox, invoice, given),
    )
    note["pdf"] = f"{sandbox.public_url}/pages/credit_notes/{note['id']}.pdf"
    note["lines"]["url"] = f"/v1/credit_notes/{note['id']}/lines"
    merge_metadata(note, given.get("metadata"))
    note["refunds"] = _linked(sandbox, invoice, given.get("refunds") or [])
    _split(sandbox, invoice, note, given)
    return note


def _check_status(invoice: Object) -> None:
    if invoice["status"] not in ("open", "paid"):
        raise invalid(f"Credit notes need an open or paid invoice; this is {invoice['status']}.")


def _split(sandbox: Sandbox, invoice: Object, note: Object, given: dict[str, Any]) -> None:
    """First it lowers what is due; the rest must be made up by ways back."""
    amount, left = note["amount"], _left(sandbox, invoice, note)
    if not 0 < amount <= left:
        raise invalid(f"The credit note's amount must be between 1 and {left}.", param="amount")
    before = min(amount, invoice["amount_remaining"]) if invoice["status"] == "open" else 0
    ways = sum(given.get(name) or 0 for name in WAYS_BACK)
    ways += sum(one["amount_refunded"] for one in note["refunds"])
    if ways != amount - before:
        said = "The sum of credit amount, refund amount and out of band amount must equal the"
        raise invalid(f"{said} post payment credit note amount ({amount - before}).")
    note.update(
        pre_payment_amount=before,
        post_payment_amount=amount - before,
        type="mixed" if 0 < before < amount else "pre_payment" if before else "post_payment",
    )


def _left(sandbox: Sandbox, invoice: Object, note: Object) -> int:
    """What other notes and plain refunds have not taken yet."""
    issued = [one for one in _notes(sandbox, invoice) if one["status"] == "issued"]
    linked = {one["refund"] for each in [*issued, note] for one in each["refunds"]}
    plain = sum(
        refund["amount"]
        for refund in _refunds(sandbox, invoice)
        if refund["id"] not in linked and refund["status"] not in GONE
    )
    return int(invoice["total"] - sum(one["amount"] for one in issued) - plain)


def _refunds(sandbox: Sandbox, invoice: Object) -> list[Object]:
    charge = (intent_of(sandbox, invoice) or {}).get("latest_charge")
    return [one for one in sandbox.store.all("refund") if charge and one["charge"] == charge]


def _linked(sandbox: Sandbox, invoice: Object, given: list[dict[str, Any]]) -> list[Object]:
    """Refunds of the invoice's own payment that were made before."""
    own = {refund["id"]: refund for refund in _refunds(sandbox, invoice)}
    taken = {one["refund"] for note in _notes(sandbox, invoice) for one in note["refunds"]}
    found = []
    for wanted in given:
        refund = own.get(str(wanted.get("refund")))
        if refund is None or refund["status"] in GONE or refund["id"] in taken:
            raise invalid(f"This refund cannot be linked: {wanted.get('refund')}", param="refunds")
        amount = int(wanted.get("amount_refunded") or refund["amount"])
        if not 0 < amount <= refund["amount"]:
            raise invalid("More is linked than was refunded.", param="refunds")
        found.append(_link(refund["id"], amount))
    return found


def _link(refund: str, amount: int) -> Object:
    return {
        "amount_refunded": amount,
        "payment_record_refund": None,
        "refund": refund,
        "type": "refund",
    }


def void_credit_note(sandbox: Sandbox, note: Object) -> Object:
    invoice = sandbox.store.get("invoice", note["invoice"])
    if note["status"] == "void" or invoice["status"] != "open" or note["post_payment_amount"]:
        raise invalid("You can only void an issued credit note on an open invoice.")
    note.update(status="void", voided_at=sandbox.now(note))
    _take_off(sandbox, invoice, -note["amount"])
    sandbox.emit("credit_note.voided", note)
    return note


def _notes(sandbox: Sandbox, invoice: Object) -> list[Object]:
    return [note for note in sandbox.store.all("credit_note") if note["invoice"] == invoice["id"]]


def _number(sandbox: Sandbox, invoice: Object) -> str:
    return f"{invoice['number']}-CN-{len(_notes(sandbox, invoice)) + 1:02}"


def _move_money(sandbox: Sandbox, invoice: Object, note: Object, given: dict[str, Any]) -> None:
    if back := given.get("refund_amount"):
        note["refunds"].append(_link(_refund(sandbox, invoice, back)["id"], back))
    if credit := given.get("credit_amount"):
        note["customer_balance_transaction"] = _credit(sandbox, invoice, note, credit)
    if after := note["post_payment_amount"]:
        with sandbox.changing(invoice):
            invoice["post_payment_credit_notes_amount"] += after
    if before := note["pre_payment_amount"]:
        _take_off(sandbox, invoice, before)
        if invoice["amount_remaining"] == 0:
            mark_paid(sandbox, invoice)


def _take_off(sandbox: Sandbox, invoice: Object, amount: int) -> None:
    """What is due falls, and with it what a payment would take."""
    with sandbox.changing(invoice):
        invoice["pre_payment_credit_notes_amount"] += amount
        invoice["amount_due"] -= amount
        invoice["amount_remaining"] -= amount
    intent = intent_of(sandbox, invoice)
    if intent is None or intent["status"] not in payments.CANCELABLE:
        return
    if invoice["amount_remaining"] == 0:
        payments.cancel_intent(sandbox, intent, "void_invoice")
        sandbox.store.hide(invoice["id"], intent=None, payment=None)
        return
    intent["amount"] = invoice["amount_remaining"]
    payment = sandbox.store.find(sandbox.store.secret(invoice["id"], "payment"))
    if payment:
        payment["amount_requested"] = invoice["amount_remaining"]


def _credit(sandbox: Sandbox, invoice: Object, note: Object, amount: int) -> str:
    customer = sandbox.store.get("customer", invoice["customer"])
    with sandbox.changing(customer):
        customer["balance"] -= amount
    entry = blank("customer_balance_transaction")
    entry.update(
        id=new_id("customer_balance_transaction"),
        amount=-amount,
        created=note["created"],
        credit_note=note["id"],
        currency=note["currency"],
        customer=customer["id"],
        ending_balance=customer["balance"],
        invoice=None,
        type="credit_note",
    )
    return str(sandbox.store.put(entry)["id"])


def _refund(sandbox: Sandbox, invoice: Object, amount: int) -> Object:
    intent = intent_of(sandbox, invoice)
    if intent is None or not intent["latest_charge"]:
        raise invalid("This invoice was not paid by a charge that could be refunded.")
    charge = sandbox.store.get("charge", intent["latest_charge"])
    return create_refund(sandbox, charge, amount=amount)
