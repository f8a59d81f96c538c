"""Connected accounts: who they are, what is in them, and how it reaches their bank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine.ledger import record_balance
from sandbox.engine.payments import refuse_parts
from sandbox.errors import StripeError, invalid
from sandbox.registry import Due, timer
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

DAYS_TO_THE_BANK = 2
ASKED_AT_FIRST = ["external_account", "individual.verification.document", "tos_acceptance.date"]
ENDED = ("paid", "failed", "canceled")


def open_connected(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    account = blank("account")
    account.update(
        id=new_id("account"),
        capabilities=dict.fromkeys(given.get("capabilities") or {}, "inactive"),
        charges_enabled=False,
        country=given.get("country") or "US",
        created=sandbox.now(),
        default_currency=given.get("default_currency") or "usd",
        details_submitted=False,
        email=given.get("email"),
        metadata={},
        payouts_enabled=False,
        requirements=_requirements(ASKED_AT_FIRST, "requirements.past_due"),
        type=given.get("type") or "standard",
    )
    merge_metadata(account, given.get("metadata"))
    return sandbox.store.put(account)


def _requirements(due: list[str], reason: str | None) -> dict[str, Any]:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": list(due),
        "disabled_reason": reason,
        "errors": [],
        "eventually_due": list(due),
        "past_due": list(due),
        "pending_verification": [],
    }


def complete(sandbox: Sandbox, account: Object, *, bank_refuses: bool = False) -> None:
    """Everything that Stripe asked for was given."""
    sandbox.store.hide(account["id"], bank_refuses=bank_refuses)
    with sandbox.changing(account):
        account.update(
            capabilities=dict.fromkeys(account["capabilities"] or {}, "active"),
            details_submitted=True,
            payouts_enabled=True,
            requirements=_requirements([], None),
        )


def disable(sandbox: Sandbox, account: Object, *, reason: str, due: list[str]) -> None:
    """Stripe stops transfers to it and payouts from it."""
    with sandbox.changing(account):
        account.update(
            capabilities=dict.fromkeys(account["capabilities"] or {}, "inactive"),
            payouts_enabled=False,
            requirements=_requirements(due, reason),
        )


# --- Money into the account ----------------------------------------------------------------------


def transfer(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    account = sandbox.store.get("account", given["destination"], param="destination", status=400)
    if (account["capabilities"] or {}).get("transfers") != "active":
        words = "Your destination account needs to have at least one of the following "
        raise invalid(
            words + "capabilities enabled: transfers, crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
        )
    amount, currency = given["amount"], given["currency"]
    if amount > platform_balance(sandbox, currency):
        words = "You have insufficient available funds in your Stripe account."
        raise invalid(words, code="balance_insufficient")
    made = blank("transfer")
    made.update(
        id=new_id("transfer"),
        amount=amount,
        created=sandbox.now(),
        currency=currency,
        destination=account["id"],
        source_type="card",
        transfer_group=given.get("transfer_group"),
    )
    merge_metadata(made, given.get("metadata"))
    made["reversals"]["url"] = f"/v1/transfers/{made['id']}/reversals"
    sandbox.store.put(made)
    record_balance(sandbox, source=made, amount=-amount, type="transfer")
    sandbox.emit("transfer.created", made)
    return made


def reverse(sandbox: Sandbox, given: Object, params: dict[str, Any]) -> Object:
    """Take a transfer back, as far as the account still holds it."""
    left = given["amount"] - given["amount_reversed"]
    amount = params.get("amount") or left
    if amount > left or not left:
        raise invalid(f"Transfer {given['id']} has only {left} left to reverse.", param="amount")
    if amount > connected_balance(sandbox, given["destination"], given["currency"]):
        words = "The connected account has insufficient funds for this reversal."
        raise invalid(words, code="balance_insufficient")
    made = blank("transfer_reversal")
    made.update(
        id=new_id("transfer_reversal"),
        amount=amount,
        created=sandbox.now(),
        currency=given["currency"],
        metadata={},
        transfer=given["id"],
    )
    merge_metadata(made, params.get("metadata"))
    sandbox.store.put(made)
    record_balance(sandbox, source=made, amount=amount, type="transfer_refund")
    given["amount_reversed"] += amount
    given["reversed"] = given["amount_reversed"] == given["amount"]
    given["reversals"]["data"].insert(0, made)
    sandbox.emit("transfer.reversed", given)
    return made


def platform_balance(sandbox: Sandbox, currency: str) -> int:
    """What is on our own account. Here money is available at once, at Stripe days later."""
    return sum(
        entry["net"]
        for entry in sandbox.store.all("balance_transaction")
        if entry["currency"] == currency
    )


def connected_balance(sandbox: Sandbox, account_id: str, currency: str) -> int:
    """What was transferred to a connected account and is still there."""
    came = sum(
        each["amount"] - each["amount_reversed"]
        for each in sandbox.store.all("transfer")
        if each["destination"] == account_id and each["currency"] == currency
    )
    went = sum(
        each["amount"]
        for each in payouts_of(sandbox, account_id)
        if each["currency"] == currency and each["status"] not in ("failed", "canceled")
    )
    return came - went


# --- Money out of the account --------------------------------------------------------------------


def payouts_of(sandbox: Sandbox, account_id: str) -> list[Object]:
    """Newest first."""
    return [
        each
        for each in sandbox.store.newest_first("payout")
        if sandbox.store.secret(each["id"], "account") == account_id
    ]


def pay_out(sandbox: Sandbox, account: Object, given: dict[str, Any]) -> Object:
    if not account["payouts_enabled"]:
        words = "Payouts are disabled for this account: it has requirements that are past due."
        raise StripeError(400, words, code="payouts_not_allowed")
    amount, currency = given["amount"], given["currency"]
    refuse_parts(amount, currency, to_bank=True)
    if amount > connected_balance(sandbox, account["id"], currency):
        raise invalid("You have insufficient funds.", code="balance_insufficient")
    made = blank("payout")
    made.update(
        id=new_id("payout"),
        amount=amount,
        arrival_date=sandbox.now() + DAYS_TO_THE_BANK * 86_400,
        created=sandbox.now(),
        currency=currency,
        destination=f"ba_{account['id'][5:]}",
        metadata={},
        method="standard",
        reconciliation_status="not_applicable",
        source_type="card",
        status="pending",
    )
    merge_metadata(made, given.get("metadata"))
    sandbox.store.hide(made["id"], account=account["id"])
    sandbox.store.put(made)
    sandbox.emit("payout.created", made)
    return made


def settle_payout(sandbox: Sandbox, payout: Object, *, succeed: bool) -> Object:
    """The bank has answered. One that Stripe called paid may still fail days later."""
    if payout["status"] == "failed":
        raise invalid(f"Payout {payout['id']} has failed already.")
    if succeed:
        payout["status"] = "paid"
        sandbox.emit("payout.paid", payout)
        return payout
    payout.update(
        status="failed",
        failure_code="account_closed",
        failure_message="The bank account has been closed.",
    )
    sandbox.emit("payout.failed", payout)
    return payout


@timer
def payouts_arrive(sandbox: Sandbox, test_clock: str | None) -> Due:
    if test_clock is not None:
        return
    for payout in sandbox.store.all("payout"):
        if payout["status"] not in ENDED:
            yield from _arrival(sandbox, payout)


def _arrival(sandbox: Sandbox, payout: Object) -> Due:
    refuses = sandbox.store.secret(
        sandbox.store.secret(payout["id"], "account", ""), "bank_refuses", False
    )
    yield payout["arrival_date"], lambda _: settle_payout(sandbox, payout, succeed=not refuses)
