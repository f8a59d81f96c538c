"""Money back: never more than was taken, sometimes late, sometimes not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import cards
from sandbox.engine.ledger import record_balance
from sandbox.engine.payments import refuse_parts
from sandbox.errors import invalid
from sandbox.registry import Due, timer
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

SETTLES_AFTER_SECONDS = 3600


def create_refund(
    sandbox: Sandbox,
    charge: Object,
    *,
    amount: int | None = None,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Object:
    """Refund all that is left of the charge, or `amount` of it."""
    wanted = _allowed_amount(charge, amount)
    method = sandbox.store.get("payment_method", charge["payment_method"])
    behaviour = cards.card_of(sandbox, method).refund
    refund = blank("refund")
    refund.update(
        id=new_id("refund"),
        amount=wanted,
        charge=charge["id"],
        created=sandbox.now(charge),
        currency=charge["currency"],
        metadata={},
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="pending" if behaviour == "pends" else "succeeded",
    )
    refund["pending_reason"] = "processing" if behaviour == "pends" else None
    refund["destination_details"] = {"type": "card", "card": _destination()}
    merge_metadata(refund, metadata)
    sandbox.store.put(refund)
    record_balance(sandbox, source=refund, amount=-wanted, type="refund")
    _count(charge, wanted)
    if behaviour != "succeeds":
        due = refund["created"] + SETTLES_AFTER_SECONDS
        sandbox.store.hide(refund["id"], settles=(due, behaviour == "pends"))
    sandbox.emit("refund.created", refund)
    sandbox.emit("charge.refunded", charge)
    return refund


def _destination() -> dict[str, str]:
    return {
        "type": "refund",
        "reference_status": "pending",
        "reference_type": "acquirer_reference_number",
    }


def _allowed_amount(charge: Object, amount: int | None) -> int:
    left = charge["amount_captured"] - charge["amount_refunded"]
    if not charge["paid"] or not charge["captured"]:
        raise invalid(f"Charge {charge['id']} was not captured: nothing can be refunded.")
    if charge["refunded"] or left <= 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, code="charge_already_refunded")
    if charge["disputed"]:
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise invalid(message, code="charge_disputed")
    if amount is not None and amount < 1:
        message = "Invalid positive integer"
        raise invalid(message, param="amount", code="parameter_invalid_integer")
    if amount is not None and amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise invalid(message, param="amount")
    if amount is not None:
        refuse_parts(amount, charge["currency"])
    return left if amount is None else amount


def _count(charge: Object, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount_captured"]


def settle_refund(sandbox: Sandbox, refund: Object, *, succeed: bool) -> Object:
    """The bank's later answer: a pending refund arrives, or any refund comes back."""
    if refund["status"] in ("failed", "canceled"):
        raise invalid(f"Refund {refund['id']} is {refund['status']} already.")
    with sandbox.changing(refund):
        refund["pending_reason"] = None
        refund["status"] = "succeeded" if succeed else "failed"
        if not succeed:
            refund["failure_reason"] = "expired_or_canceled_card"
    sandbox.store.hide(refund["id"], settles=None)
    if not succeed:
        _take_back(sandbox, refund)
        sandbox.emit("refund.failed", refund)
    sandbox.emit("charge.refund.updated", refund)
    return refund


def cancel_refund(sandbox: Sandbox, refund: Object) -> Object:
    if refund["status"] not in ("pending", "requires_action"):
        raise invalid(f"Refund {refund['id']} is {refund['status']}: it cannot be canceled.")
    with sandbox.changing(refund):
        refund.update(status="canceled", pending_reason=None)
    sandbox.store.hide(refund["id"], settles=None)
    _take_back(sandbox, refund)
    return refund


def _take_back(sandbox: Sandbox, refund: Object) -> None:
    charge = sandbox.store.get("charge", refund["charge"])
    _count(charge, -refund["amount"])
    entry = record_balance(
        sandbox, source={**refund}, amount=refund["amount"], type="refund_failure"
    )
    refund["failure_balance_transaction"] = entry["id"]


@timer
def late_refunds(sandbox: Sandbox, test_clock: str | None) -> Due:
    """What the test cards with late refunds do after an hour."""
    for refund in sandbox.store.all("refund"):
        if test_clock is None:
            yield from _late_refund(sandbox, refund)


def _late_refund(sandbox: Sandbox, refund: Object) -> Due:
    due = sandbox.store.secret(refund["id"], "settles")
    if due:
        at, succeed = due
        yield at, lambda _: settle_refund(sandbox, refund, succeed=succeed)
