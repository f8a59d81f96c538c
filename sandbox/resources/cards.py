"""Payment methods and setup intents: saving a card."""

from __future__ import annotations

from typing import Any

from sandbox.control import action
from sandbox.engine import cards, setups
from sandbox.errors import invalid, missing
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.store import Object


@on("POST /v1/payment_methods")
def create_payment_method(call: Call) -> Object:
    card = call.params.get("card")
    if call.params.get("type", "card") != "card" or not card:
        raise invalid("The sandbox only has cards: pass type=card and card.", param="type")
    method = cards.make_payment_method(
        call.sandbox,
        card.get("token") or card["number"],
        billing_details=call.params.get("billing_details"),
        exp_month=card.get("exp_month", 12),
        exp_year=card.get("exp_year", 2034),
    )
    method["metadata"] = dict(call.params.get("metadata") or {})
    return method


@on("GET /v1/payment_methods/{id}")
def retrieve_payment_method(call: Call) -> Object:
    if cards.is_token(call.id):
        return cards.payment_method(call.sandbox, call.id)
    return call.store.get("payment_method", call.id)


@on("GET /v1/payment_methods")
def list_payment_methods(call: Call) -> Object:
    customer = call.given("customer", "customer")
    held = [
        method
        for method in call.store.newest_first("payment_method")
        if customer and method["customer"] == customer["id"]
    ]
    return paginate(matching(held, call.params), call.params, url=call.path)


@on("GET /v1/customers/{customer}/payment_methods")
def list_customer_cards(call: Call) -> Object:
    call.store.get("customer", call.id, param="customer")
    call.params["customer"] = call.id
    return list_payment_methods(call)


@on("GET /v1/customers/{customer}/payment_methods/{id}")
def retrieve_customer_card(call: Call) -> Object:
    method = call.store.get("payment_method", call.ids[1])
    if method["customer"] != call.id:
        raise missing("payment_method", call.ids[1])
    return method


@on("POST /v1/payment_methods/{id}/attach")
def attach_payment_method(call: Call) -> Object:
    customer = call.given("customer", "customer")
    method = cards.payment_method(call.sandbox, call.id)
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer")
    return cards.attach(call.sandbox, method, customer["id"])


@on("POST /v1/payment_methods/{id}/detach")
def detach_payment_method(call: Call) -> Object:
    method = call.store.get("payment_method", call.id)
    if not method["customer"]:
        message = "The payment method you provided is not attached to a customer so detachment "
        raise invalid(message + "is impossible.", code="payment_method_unexpected_state")
    owner = call.store.find(method["customer"]) or {}
    method["customer"] = None
    call.sandbox.emit("payment_method.detached", method)
    if owner.get("invoice_settings", {}).get("default_payment_method") == method["id"]:
        with call.sandbox.changing(owner):
            owner["invoice_settings"]["default_payment_method"] = None
    for subscription in call.store.all("subscription"):
        if subscription["default_payment_method"] == method["id"]:
            with call.sandbox.changing(subscription):
                subscription["default_payment_method"] = None
    return method


@on("POST /v1/setup_intents")
def create_setup_intent(call: Call) -> Object:
    call.given("customer", "customer")
    confirm = call.params.pop("confirm", False)
    named = call.params.pop("payment_method", None)
    method = cards.payment_method(call.sandbox, named) if named else None
    intent = setups.create_setup(call.sandbox, call.params)
    if method:
        intent.update(payment_method=method["id"], status="requires_confirmation")
    if confirm:
        setups.confirm_setup(call.sandbox, intent)
    return intent


@on("POST /v1/setup_intents/{id}/confirm")
def confirm_setup_intent(call: Call) -> Object:
    intent = call.store.get("setup_intent", call.id)
    method = call.params.get("payment_method")
    if method:
        intent["payment_method"] = cards.payment_method(call.sandbox, method)["id"]
    return setups.confirm_setup(call.sandbox, intent)


@on("POST /v1/setup_intents/{id}/cancel")
def cancel_setup_intent(call: Call) -> Object:
    intent = call.store.get("setup_intent", call.id)
    if intent["status"] in ("succeeded", "canceled"):
        message = f"You cannot cancel this SetupIntent: it is {intent['status']}."
        raise invalid(message, code="setup_intent_unexpected_state")
    reason = call.params.get("cancellation_reason")
    intent.update(status="canceled", cancellation_reason=reason, next_action=None)
    call.sandbox.emit("setup_intent.canceled", intent)
    return intent


@action("authenticate")
def authenticate(sandbox: Any, given: dict[str, Any]) -> Object:
    """{"intent": "pi_.. or seti_..", "succeed": true}: the buyer answers the challenge."""
    with sandbox.store.lock:
        return setups.authenticate(sandbox, given["intent"], succeed=given.get("succeed", True))
