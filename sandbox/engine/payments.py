"""Payment intents and the charges that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.engine import cards
from sandbox.engine.ledger import record_balance
from sandbox.errors import StripeError, invalid
from sandbox.money import step
from sandbox.shapes import fill, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

CONFIRMABLE = {"requires_payment_method", "requires_confirmation", "requires_action"}
CANCELABLE = CONFIRMABLE | {"requires_capture", "processing"}
SMALLEST_AMOUNT = 50
LARGEST_AMOUNT = 99_999_999
COPIED = (  # from an intent to its charge
    "amount", "currency", "customer", "description", "receipt_email",
    "statement_descriptor", "transfer_group",
)  # fmt: skip

# Called with (sandbox, intent) when an intent has succeeded: invoices and Checkout listen.
on_succeeded: list[Callable[[Sandbox, Object], None]] = []


def create_intent(
    sandbox: Sandbox,
    *,
    amount: int,
    currency: str,
    customer: str | None = None,
    metadata: dict[str, str] | None = None,
    **values: Any,
) -> Object:
    """A payment intent that waits for a card; emits payment_intent.created."""
    _check_amount(amount, currency.lower())
    intent = fill("payment_intent", values)
    intent.update(
        id=new_id("payment_intent"),
        amount=amount,
        currency=currency.lower(),
        customer=customer,
        status="requires_payment_method",
        capture_method=values.get("capture_method", "automatic"),
        payment_method_types=values.get("payment_method_types") or ["card"],
    )
    intent["created"] = sandbox.now(intent)
    intent["client_secret"] = cards.client_secret(intent["id"])
    merge_metadata(intent, metadata)
    sandbox.store.put(intent)
    sandbox.emit("payment_intent.created", intent)
    return intent


def _check_amount(amount: int, currency: str) -> None:
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, param="amount", code="parameter_invalid_integer")
    if amount < SMALLEST_AMOUNT:
        message = "Amount must be at least $0.50 usd"
        raise invalid(message, param="amount", code="amount_too_small")
    if amount > LARGEST_AMOUNT:
        raise invalid("Amount must be no more than $999,999.99", code="amount_too_large")
    refuse_parts(amount, currency)


def refuse_parts(amount: int, currency: str, *, to_bank: bool = False) -> None:
    unit = step(currency, to_bank=to_bank)
    if amount % unit:
        words = f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by {unit}."
        raise invalid(words, param="amount", code="invalid_charge_amount_no_decimal_compatible")


def confirm_intent(
    sandbox: Sandbox, intent: Object, *, payment_method: str | None, off_session: bool = False
) -> str:
    """Try to take the money: succeeds, challenge or declined (see `decline_of`)."""
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "confirm")
    method = cards.payment_method(sandbox, payment_method or _card_of_intent(intent))
    _check_owner(intent, method)
    intent["payment_method"] = method["id"]
    outcome, code, decline_code = cards.verdict(sandbox, method, off_session=off_session)
    if outcome == "challenge":
        return challenge(sandbox, intent)
    if outcome == "declined":
        decline(sandbox, intent, method, str(code), decline_code)
        return outcome
    take_money(sandbox, intent, method)
    return outcome


def _card_of_intent(intent: Object) -> str:
    if intent["payment_method"] is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise invalid(message, code="payment_intent_unexpected_state")
    return str(intent["payment_method"])


def _check_owner(intent: Object, method: Object) -> None:
    if method["customer"] and method["customer"] != intent["customer"]:
        message = "The PaymentMethod belongs to a different customer: pass that customer, or "
        raise invalid(message + "another payment method.", param="payment_method")


def unexpected_state(intent: Object, verb: str) -> StripeError:
    message = f"You cannot {verb} this PaymentIntent because it has a status of "
    message += f"{intent['status']}."
    return StripeError(400, message, code="payment_intent_unexpected_state", payment_intent=intent)


def challenge(sandbox: Sandbox, intent: Object) -> str:
    """Ask the buyer to authenticate on a page, as 3-D Secure does."""
    url = f"{sandbox.public_url}/pages/authenticate/{intent['id']}"
    intent["status"] = "requires_action"
    intent["next_action"] = {"type": "redirect_to_url"}
    intent["next_action"]["redirect_to_url"] = {"return_url": None, "url": url}
    sandbox.emit("payment_intent.requires_action", intent)
    return "challenge"


def authenticate(sandbox: Sandbox, intent: Object, *, succeed: bool) -> None:
    """The buyer passed, or failed, the challenge."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = sandbox.store.get("payment_method", intent["payment_method"])
    if succeed:
        take_money(sandbox, intent, method)
    else:
        decline(sandbox, intent, method, "payment_intent_authentication_failure", None)


def decline(
    sandbox: Sandbox, intent: Object, method: Object, code: str, decline_code: str | None
) -> None:
    refused = cards.refusal(code, decline_code)
    charge = _charge(sandbox, intent, method)
    charge.update(status="failed", failure_code=code, failure_message=str(refused), paid=False)
    charge["outcome"] = _outcome(
        "declined_by_network", "issuer_declined", str(refused), decline_code
    )
    sandbox.store.put(charge)
    intent.update(
        status="requires_payment_method",
        next_action=None,
        payment_method=None,
        latest_charge=charge["id"],
    )
    error = {**refused.error, "charge": charge["id"], "payment_method": method}
    intent["last_payment_error"] = error
    sandbox.store.hide(intent["id"], refusal=error)
    sandbox.emit("charge.failed", charge)
    sandbox.emit("payment_intent.payment_failed", intent)


def decline_of(sandbox: Sandbox, intent: Object) -> StripeError:
    """The CardError that the last declined attempt answers with."""
    error = dict(sandbox.store.secret(intent["id"], "refusal"))
    message = str(error.pop("message"))
    code = str(error.pop("code"))
    kind = error.pop("type")
    return StripeError(402, message, code=code, type=kind, payment_intent=intent, **error)


def take_money(sandbox: Sandbox, intent: Object, method: Object) -> Object:
    """Charge the card, now or, with manual capture, later."""
    if intent["setup_future_usage"] and intent["customer"]:
        cards.attach(sandbox, method, intent["customer"])
        sandbox.store.hide(method["id"], is_saved=True)
    charge = _charge(sandbox, intent, method)
    charge.update(status="succeeded", paid=True)
    charge["outcome"] = _outcome("approved_by_network", None, "Payment complete.", None)
    charge["receipt_url"] = f"{sandbox.public_url}/pages/receipts/{charge['id']}"
    sandbox.store.put(charge)
    intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
    intent["payment_method"] = method["id"]
    if intent["capture_method"] == "manual":
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        sandbox.emit("charge.succeeded", charge)
        sandbox.emit("payment_intent.amount_capturable_updated", intent)
    else:
        _settle(sandbox, intent, charge, intent["amount"])
        sandbox.emit("charge.succeeded", charge)
        _finish(sandbox, intent, charge)
    return charge


def _charge(sandbox: Sandbox, intent: Object, method: Object) -> Object:
    details = {**method["card"], "network": method["card"]["brand"]}
    details["checks"] = {"cvc_check": "pass"}
    given = {"payment_method_details": {"type": "card", "card": details}}
    charge = fill("charge", given)
    charge.update({name: intent[name] for name in COPIED})
    charge.update(
        id=new_id("charge"),
        billing_details=method["billing_details"],
        created=sandbox.now(intent),
        metadata=dict(intent["metadata"]),
        payment_intent=intent["id"],
        payment_method=method["id"],
        fraud_details={},
    )
    return charge


def _outcome(
    network: str, reason: str | None, message: str, decline_code: str | None
) -> dict[str, Any]:
    is_good = network == "approved_by_network"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": decline_code or reason,
        "risk_level": "normal",
        "seller_message": message,
        "type": "authorized" if is_good else "issuer_declined",
    }


def _settle(sandbox: Sandbox, intent: Object, charge: Object, amount: int) -> None:
    charge.update(captured=True, amount_captured=amount)
    fee = amount * 29 // 1000 + 30
    record_balance(sandbox, source=charge, amount=amount, fee=fee, type="charge")
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)


def _finish(sandbox: Sandbox, intent: Object, charge: Object) -> None:
    sandbox.emit("payment_intent.succeeded", intent)
    for listener in on_succeeded:
        listener(sandbox, intent)
    _dispute_if_card_says_so(sandbox, charge)


def _dispute_if_card_says_so(sandbox: Sandbox, charge: Object) -> None:
    from sandbox.engine.disputes import open_dispute

    method = sandbox.store.get("payment_method", charge["payment_method"])
    reason = cards.card_of(sandbox, method).dispute
    if reason:
        open_dispute(sandbox, charge, reason=reason)


def capture_intent(sandbox: Sandbox, intent: Object, amount: int | None) -> Object:
    if intent["status"] != "requires_capture":
        raise unexpected_state(intent, "capture")
    wanted = intent["amount_capturable"] if amount is None else amount
    if wanted > intent["amount_capturable"]:
        message = f"The payment intent has only {intent['amount_capturable']} to capture."
        raise invalid(message, param="amount_to_capture", code="amount_too_large")
    charge = sandbox.store.get("charge", intent["latest_charge"])
    _settle(sandbox, intent, charge, wanted)
    sandbox.emit("charge.captured", charge)
    _finish(sandbox, intent, charge)
    return intent


def cancel_intent(sandbox: Sandbox, intent: Object, reason: str | None = None) -> Object:
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(intent, "cancel")
    intent.update(
        status="canceled",
        canceled_at=sandbox.now(intent),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    sandbox.emit("payment_intent.canceled", intent)
    return intent
