"""Payment intents, charges, refunds and disputes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox import generic
from sandbox.control import action
from sandbox.engine import cards, disputes, payments, refunds
from sandbox.errors import invalid
from sandbox.lists import paginate
from sandbox.registry import Call, expands, on
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

ASKED_FOR_ONCE = {"confirm", "off_session", "error_on_requires_action", "return_url", "mandate"}


@on("POST /v1/payment_intents")
def create_payment_intent(call: Call) -> Object:
    call.given("customer", "customer")
    options = {name: call.params.pop(name, None) for name in ASKED_FOR_ONCE}
    named = call.params.pop("payment_method", None)
    method = cards.payment_method(call.sandbox, named) if named else None
    automatic = call.params.pop("automatic_payment_methods", None)
    intent = payments.create_intent(call.sandbox, **call.params)
    if automatic:
        redirects = automatic.get("allow_redirects", "always")
        intent["automatic_payment_methods"] = {**automatic, "allow_redirects": redirects}
    if method:
        intent.update(payment_method=method["id"], status="requires_confirmation")
    if options["confirm"]:
        _confirm(call, intent, options)
    return intent


def _confirm(call: Call, intent: Object, options: dict[str, Any]) -> None:
    if options.get("return_url"):
        # The page of the challenge sends the buyer there.
        call.store.hide(intent["id"], return_url=options["return_url"])
    outcome = payments.confirm_intent(
        call.sandbox,
        intent,
        payment_method=options.get("payment_method"),
        off_session=bool(options.get("off_session")),
    )
    if outcome == "declined":
        raise payments.decline_of(call.sandbox, intent)


@on("POST /v1/payment_intents/{id}")
def update_payment_intent(call: Call) -> Object:
    intent = call.store.get("payment_intent", call.id)
    if "amount" in call.params and intent["status"] not in payments.CONFIRMABLE:
        raise payments.unexpected_state(intent, "update the amount of")
    return generic.update(call, "payment_intent")


@on("POST /v1/payment_intents/{id}/confirm")
def confirm_payment_intent(call: Call) -> Object:
    intent = call.store.get("payment_intent", call.id)
    if call.params.get("setup_future_usage"):
        intent["setup_future_usage"] = call.params["setup_future_usage"]
    _confirm(call, intent, call.params)
    return intent


@on("POST /v1/payment_intents/{id}/capture")
def capture_payment_intent(call: Call) -> Object:
    intent = call.store.get("payment_intent", call.id)
    return payments.capture_intent(call.sandbox, intent, call.params.get("amount_to_capture"))


@on("POST /v1/payment_intents/{id}/cancel")
def cancel_payment_intent(call: Call) -> Object:
    intent = call.store.get("payment_intent", call.id)
    return payments.cancel_intent(call.sandbox, intent, call.params.get("cancellation_reason"))


@on("POST /v1/refunds")
def create_refund(call: Call) -> Object:
    charge = call.given("charge", "charge")
    intent = call.given("payment_intent", "payment_intent")
    if intent and not charge:
        if not intent["latest_charge"]:
            raise invalid("This PaymentIntent has no successful charge to refund.")
        charge = call.store.get("charge", intent["latest_charge"])
    if charge is None:
        message = "One of the following params should be provided for this request: "
        raise invalid(message + "payment_intent or charge.")
    return refunds.create_refund(
        call.sandbox,
        charge,
        amount=call.params.get("amount"),
        reason=call.params.get("reason"),
        metadata=call.params.get("metadata"),
    )


@on("POST /v1/refunds/{id}")
def update_refund(call: Call) -> Object:
    refund = generic.update(call, "refund")
    call.sandbox.emit("charge.refund.updated", refund)
    return refund


@on("POST /v1/refunds/{id}/cancel")
def cancel_refund(call: Call) -> Object:
    return refunds.cancel_refund(call.sandbox, call.store.get("refund", call.id))


@expands("charge", "refunds")
def refunds_of(sandbox: Sandbox, charge: Object) -> Object:
    items = [r for r in sandbox.store.newest_first("refund") if r["charge"] == charge["id"]]
    return paginate(items, {}, url=f"/v1/charges/{charge['id']}/refunds")


@on("POST /v1/disputes/{id}")
def answer_dispute(call: Call) -> Object:
    evidence = call.params.pop("evidence", None)
    dispute = generic.update(call, "dispute")
    if evidence:
        with call.sandbox.changing(dispute):
            dispute["evidence"].update(evidence)
            dispute["evidence_details"]["has_evidence"] = True
            if call.params.get("submit", True):
                dispute["status"] = "under_review"
                dispute["evidence_details"]["submission_count"] += 1
    return dispute


@on("POST /v1/disputes/{id}/close")
def accept_dispute(call: Call) -> Object:
    return disputes.close_dispute(call.sandbox, call.store.get("dispute", call.id), won=False)


@action("disputes")
def open_dispute(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """{"charge": "ch_..", "reason": "fraudulent"}"""
    with sandbox.store.lock:
        charge = sandbox.store.get("charge", given.pop("charge"))
        return disputes.open_dispute(sandbox, charge, **given)


@action("disputes/close")
def close_dispute(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """{"dispute": "du_..", "won": true}"""
    with sandbox.store.lock:
        dispute = sandbox.store.get("dispute", given["dispute"])
        return disputes.close_dispute(sandbox, dispute, won=given["won"])


@action("refunds/settle")
def settle_refund(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """{"refund": "re_..", "succeed": false}: the bank's later answer."""
    with sandbox.store.lock:
        refund = sandbox.store.get("refund", given["refund"])
        return refunds.settle_refund(sandbox, refund, succeed=given["succeed"])
