"""Balance transactions: every movement of the account's money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

DAYS_UNTIL_AVAILABLE = 2


def record_balance(
    sandbox: Sandbox, *, source: Object, amount: int, type: str, fee: int = 0
) -> Object:
    """Write the movement and point its source at it."""
    entry = blank("balance_transaction")
    now = sandbox.now(source)
    entry.update(
        id=new_id("balance_transaction"),
        amount=amount,
        available_on=now + DAYS_UNTIL_AVAILABLE * 86_400,
        balance_type="payments",
        created=now,
        currency=source["currency"],
        description=source.get("description"),
        fee=fee,
        net=amount - fee,
        reporting_category=type,
        source=source["id"],
        status="pending",
        type=type,
    )
    if fee:
        detail = {"amount": fee, "application": None, "currency": source["currency"]}
        words = "Stripe processing fees (sandbox)"
        entry["fee_details"] = [{**detail, "description": words, "type": "stripe_fee"}]
    sandbox.store.put(entry)
    if "balance_transaction" in source:
        source["balance_transaction"] = entry["id"]
    return entry
