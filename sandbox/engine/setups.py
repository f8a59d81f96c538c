"""Setup intents: a card saved for later, without a payment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox import generic
from sandbox.engine import cards, payments
from sandbox.errors import invalid
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

# Called with (sandbox, intent) when a card has been saved: Checkout and the portal listen.
on_succeeded: list[Callable[[Sandbox, Object], None]] = []


def create_setup(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    intent = generic.new(
        sandbox,
        "setup_intent",
        given,
        status="requires_payment_method",
        payment_method_types=given.get("payment_method_types") or ["card"],
        usage=given.get("usage", "off_session"),
    )
    intent["created"] = sandbox.now(intent)
    intent["client_secret"] = cards.client_secret(intent["id"])
    sandbox.store.put(intent)
    sandbox.emit("setup_intent.created", intent)
    return intent


def confirm_setup(sandbox: Sandbox, intent: Object) -> Object:
    """Save the card, or ask the buyer to authenticate; raises what the card raises."""
    if intent["status"] in ("succeeded", "canceled"):
        message = f"You cannot confirm this SetupIntent: it is {intent['status']}."
        raise invalid(message, code="setup_intent_unexpected_state")
    if intent["payment_method"] is None:
        message = "You cannot confirm this SetupIntent because it's missing a payment method."
        raise invalid(message, code="setup_intent_unexpected_state")
    method = sandbox.store.get("payment_method", intent["payment_method"])
    card = cards.card_of(sandbox, method)
    if not card.can_be_saved:
        refused = cards.refusal(card.code or "card_declined", card.decline_code)
        intent.update(status="requires_payment_method", payment_method=None)
        intent["last_setup_error"] = {**refused.error, "payment_method": method}
        sandbox.emit("setup_intent.setup_failed", intent)
        raise cards.refusal(card.code or "card_declined", card.decline_code, setup_intent=intent)
    if card.challenge != "never":
        url = f"{sandbox.public_url}/pages/authenticate/{intent['id']}"
        intent["status"] = "requires_action"
        intent["next_action"] = {"type": "redirect_to_url"}
        intent["next_action"]["redirect_to_url"] = {"return_url": None, "url": url}
        sandbox.emit("setup_intent.requires_action", intent)
        return intent
    return _succeed(sandbox, intent, method)


def _succeed(sandbox: Sandbox, intent: Object, method: Object) -> Object:
    if intent["customer"]:
        cards.attach(sandbox, method, intent["customer"])
    sandbox.store.hide(method["id"], is_saved=True)
    intent.update(status="succeeded", next_action=None, last_setup_error=None)
    sandbox.emit("setup_intent.succeeded", intent)
    for listener in on_succeeded:
        listener(sandbox, intent)
    return intent


def authenticate(sandbox: Sandbox, id: str, *, succeed: bool) -> Object:
    """The buyer's answer to the challenge of a payment or setup intent."""
    if id.startswith("pi_"):
        intent = sandbox.store.get("payment_intent", id)
        payments.authenticate(sandbox, intent, succeed=succeed)
        return intent
    intent = sandbox.store.get("setup_intent", id)
    if intent["status"] != "requires_action":
        raise invalid(f"This SetupIntent is {intent['status']}: no challenge is open.")
    if succeed:
        method = sandbox.store.get("payment_method", intent["payment_method"])
        return _succeed(sandbox, intent, method)
    intent.update(status="requires_payment_method", payment_method=None, next_action=None)
    refused = cards.refusal("setup_intent_authentication_failure", None)
    intent["last_setup_error"] = refused.error
    sandbox.emit("setup_intent.setup_failed", intent)
    return intent
