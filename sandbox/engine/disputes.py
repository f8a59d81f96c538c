"""Chargebacks: the buyer's bank takes the money back while it looks into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine.ledger import record_balance
from sandbox.errors import invalid
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

DAYS_TO_ANSWER = 9
FEE = 1500


def open_dispute(
    sandbox: Sandbox, charge: Object, *, reason: str = "fraudulent", amount: int | None = None
) -> Object:
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} is disputed already.")
    dispute = blank("dispute")
    now = sandbox.now(charge)
    dispute.update(
        id=new_id("dispute"),
        amount=amount or charge["amount"],
        charge=charge["id"],
        created=now,
        currency=charge["currency"],
        is_charge_refundable=False,
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="needs_response",
    )
    dispute["evidence_details"]["due_by"] = now + DAYS_TO_ANSWER * 86_400
    sandbox.store.put(dispute)
    charge["disputed"] = True
    entry = record_balance(
        sandbox, source=dispute, amount=-dispute["amount"], fee=FEE, type="adjustment"
    )
    dispute["balance_transactions"] = [entry]
    sandbox.emit("charge.dispute.created", dispute)
    sandbox.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(sandbox: Sandbox, dispute: Object, *, won: bool) -> Object:
    """The bank has decided."""
    if dispute["status"] in ("won", "lost"):
        raise invalid(f"Dispute {dispute['id']} is closed already.")
    with sandbox.changing(dispute):
        dispute["status"] = "won" if won else "lost"
        if won:
            entry = record_balance(
                sandbox, source=dispute, amount=dispute["amount"], type="adjustment"
            )
            dispute["balance_transactions"] = [*dispute["balance_transactions"], entry]
    if won:
        sandbox.emit("charge.dispute.funds_reinstated", dispute)
    sandbox.emit("charge.dispute.closed", dispute)
    return dispute
