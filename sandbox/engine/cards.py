"""Stripe's test cards: what each does when it is saved, charged and refunded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import StripeError, card_error, invalid
from sandbox.shapes import fill
from sandbox.store import Object, new_id, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox

MESSAGES = {
    "card_declined": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


@dataclass(frozen=True)
class TestCard:
    """`code` and `decline_code` of its charge; `challenge` is never, always or unless_saved."""

    number: str
    brand: str = "visa"
    code: str | None = None
    decline_code: str | None = None
    can_be_saved: bool = True
    challenge: str = "never"
    dispute: str | None = None
    refund: str = "succeeds"  # or pends, or fails
    funding: str = "credit"


CARDS = {
    "visa": TestCard("4242424242424242"),
    "visa_debit": TestCard("4000056655665556", funding="debit"),
    "mastercard": TestCard("5555555555554444", "mastercard"),
    "mastercard_debit": TestCard("5200828282828210", "mastercard", funding="debit"),
    "amex": TestCard("378282246310005", "amex"),
    "discover": TestCard("6011111111111117", "discover"),
    "jcb": TestCard("3566002020360505", "jcb"),
    "unionpay": TestCard("6200000000000005", "unionpay"),
    "bypassPending": TestCard("4000000000000077"),
    "chargeDeclined": TestCard(
        "4000000000000002", "visa", "card_declined", "generic_decline", False
    ),
    "visa_chargeDeclined": TestCard(
        "4000000000000002", "visa", "card_declined", "generic_decline", False
    ),
    "chargeDeclinedInsufficientFunds": TestCard(
        "4000000000009995", "visa", "card_declined", "insufficient_funds", False
    ),
    "visa_chargeDeclinedInsufficientFunds": TestCard(
        "4000000000009995", "visa", "card_declined", "insufficient_funds", False
    ),
    "chargeDeclinedLostCard": TestCard(
        "4000000000009987", "visa", "card_declined", "lost_card", False
    ),
    "chargeDeclinedStolenCard": TestCard(
        "4000000000009979", "visa", "card_declined", "stolen_card", False
    ),
    "chargeDeclinedExpiredCard": TestCard("4000000000000069", "visa", "expired_card", None, False),
    "chargeDeclinedIncorrectCvc": TestCard(
        "4000000000000127", "visa", "incorrect_cvc", None, False
    ),
    "chargeDeclinedProcessingError": TestCard(
        "4000000000000119", "visa", "processing_error", None, False
    ),
    "chargeCustomerFail": TestCard("4000000000000341", "visa", "card_declined", "generic_decline"),
    "authenticationRequired": TestCard("4000002760003184", challenge="always"),
    "authenticationRequiredOnSetup": TestCard("4000002500003155", challenge="unless_saved"),
    "threeDSecure2Required": TestCard("4000000000003220", challenge="always"),
    "createDispute": TestCard("4000000000000259", dispute="fraudulent"),
    "createDisputeProductNotReceived": TestCard("4000000000002685", dispute="product_not_received"),
    "createDisputeInquiry": TestCard("4000000000001976", dispute="fraudulent"),
    "pendingRefund": TestCard("4000000000007726", refund="pends"),
    "refundFail": TestCard("4000000000005126", refund="fails"),
}
BY_NUMBER = {card.number: card for card in reversed(CARDS.values())}


def card_named(token: str) -> TestCard:
    """pm_card_visa, tok_visa, or the digits."""
    digits = token.replace(" ", "").replace("-", "")
    name = token.removeprefix("pm_card_").removeprefix("tok_")
    found = CARDS.get(name) or BY_NUMBER.get(digits)
    if found is None and digits.isdigit():
        message = "Your card number is incorrect."
        raise card_error(message, "incorrect_number", None, param="number")
    if found is None:
        message = f"No such PaymentMethod: '{token}'"
        raise invalid(message, param="payment_method", code="resource_missing")
    return found


def is_token(id: str) -> bool:
    return id.startswith(("pm_card_", "tok_"))


def make_payment_method(
    sandbox: Sandbox,
    token: str,
    *,
    billing_details: dict[str, Any] | None = None,
    exp_month: int = 12,
    exp_year: int = 2034,
) -> Object:
    """A card that belongs to nobody yet."""
    card = card_named(token)
    if (exp_year, exp_month) < (2000, 1) or not 1 <= exp_month <= 12:
        raise card_error(
            "Your card's expiration date is invalid.", "invalid_expiry_year", None, param="exp_year"
        )
    made = fill("payment_method", {"card": card_details(card, exp_month, exp_year)})
    kept = {"id", "object", "allow_redisplay", "billing_details", "card", "created", "customer"}
    kept |= {"livemode", "metadata", "type"}
    made = {name: value for name, value in made.items() if name in kept}
    made.update(id=new_id("payment_method"), type="card", created=sandbox.now(), metadata={})
    made["allow_redisplay"] = "unspecified"
    made["billing_details"].update(billing_details or {})
    sandbox.store.hide(made["id"], card=card, is_saved=False)
    return sandbox.store.put(made)


def card_details(card: TestCard, exp_month: int, exp_year: int) -> dict[str, Any]:
    return {
        "brand": card.brand,
        "checks": {"cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": f"sandbox{card.number[-8:]}",
        "funding": card.funding,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "three_d_secure_usage": {"supported": True},
    }


def payment_method(sandbox: Sandbox, id: str, *, param: str = "payment_method") -> Object:
    """The saved card, or a new one when `id` is a test token."""
    if is_token(id) and sandbox.store.find(id) is None:
        return make_payment_method(sandbox, id)
    return sandbox.store.get("payment_method", id, param=param, status=400)


def card_of(sandbox: Sandbox, method: Object) -> TestCard:
    card: TestCard = sandbox.store.secret(method["id"], "card", CARDS["visa"])
    return card


def attach(sandbox: Sandbox, method: Object, customer: str) -> Object:
    """Save the card to the customer; refuses a card that is declined or another customer's."""
    if method["customer"] == customer:
        return method
    if method["customer"]:
        message = "The payment method you provided has already been attached to a customer."
        raise invalid(message, code="payment_method_unexpected_state")
    card = card_of(sandbox, method)
    if not card.can_be_saved:
        raise refusal(card.code or "card_declined", card.decline_code)
    method["customer"] = customer
    sandbox.emit("payment_method.attached", method)
    return method


def verdict(
    sandbox: Sandbox, method: Object, *, off_session: bool
) -> tuple[str, str | None, str | None]:
    """(succeeds | declined | challenge, code, decline code) of a charge to this card."""
    card = card_of(sandbox, method)
    is_saved = bool(sandbox.store.secret(method["id"], "is_saved"))
    if card.challenge == "always" or (card.challenge == "unless_saved" and not is_saved):
        if off_session:
            return "declined", "authentication_required", "authentication_required"
        return "challenge", None, None
    if card.code:
        return "declined", card.code, card.decline_code
    return "succeeds", None, None


def refusal(code: str, decline_code: str | None, **more: Any) -> StripeError:
    reason = decline_code if decline_code in MESSAGES else code
    message = MESSAGES.get(str(reason), MESSAGES["card_declined"])
    return card_error(message, code, decline_code, doc_url=_doc(code), **more)


def _doc(code: str) -> str:
    return f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"


def client_secret(id: str) -> str:
    return f"{id}_secret_{random_text(25)}"
