"""Checkout sessions, and the undocumented pair by which Stripe's own CLI pays them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import cards, checkout, payments, purchase
from sandbox.errors import StripeError, invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, expands, on
from sandbox.shapes import merge_metadata
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox


@on("POST /v1/checkout/sessions")
def create_session(call: Call) -> Object:
    return checkout.open_session(call.sandbox, call.params)


@on("GET /v1/checkout/sessions/{session}")
def retrieve_session(call: Call) -> Object:
    return call.store.get(checkout.KIND, call.id, param="session")


@on("POST /v1/checkout/sessions/{session}")
def update_session(call: Call) -> Object:
    session = call.store.get(checkout.KIND, call.id, param="session")
    merge_metadata(session, call.params.get("metadata"))
    return session


@on("GET /v1/checkout/sessions")
def list_sessions(call: Call) -> Object:
    found = matching(call.store.newest_first(checkout.KIND), call.params)
    return paginate(found, call.params, url=call.path)


@on("GET /v1/checkout/sessions/{session}/line_items")
def list_line_items(call: Call) -> Object:
    session = call.store.get(checkout.KIND, call.id, param="session")
    return paginate(checkout.items_in(call.sandbox, session), call.params, url=call.path)


@on("POST /v1/checkout/sessions/{session}/expire")
def expire_session(call: Call) -> Object:
    session = call.store.get(checkout.KIND, call.id, param="session")
    return checkout.expire_session(call.sandbox, session)


@expands("checkout.session", "line_items")
def line_items_of(sandbox: Sandbox, session: Object) -> Object:
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return paginate(checkout.items_in(sandbox, session), {}, url=url)


@on("GET /v1/payment_pages/{session}", documented=False)
def show_payment_page(call: Call) -> Object:
    return _payment_page(call.store.get(checkout.KIND, call.id, param="session"))


@on("POST /v1/payment_pages/{session}/confirm", documented=False)
def confirm_payment_page(call: Call) -> Object:
    session = call.store.get(checkout.KIND, call.id, param="session")
    expected = call.params.get("expected_amount")
    if expected is not None and str(expected) != str(session["amount_total"] or 0):
        message = f"The amount to pay is {session['amount_total']}, not {expected}."
        raise invalid(message, param="expected_amount", code="checkout_amount_mismatch")
    method = None
    if call.params.get("payment_method"):
        method = cards.payment_method(call.sandbox, call.params["payment_method"])
    billing: dict[str, Any] = (method or {}).get("billing_details") or {}
    known = (session["customer_details"] or {}).get("email")
    outcome = purchase.pay_session(
        call.sandbox,
        session,
        method=method,
        email=known or billing.get("email"),
        name=billing.get("name"),
    )
    if outcome == "challenge":
        intent = call.store.find(purchase.open_challenge(call.sandbox, session)) or {}
        if intent.get("object") == "payment_intent":
            raise payments.unexpected_state(intent, "confirm without authentication")
        raise StripeError(402, "The buyer has to authenticate.", type="card_error")
    return _payment_page(session)


def _payment_page(session: Object) -> Object:
    shown = ("mode", "status", "payment_status", "amount_total", "currency", "url")
    return {
        "id": session["id"],
        "object": "payment_page",
        "session_id": session["id"],
        **{name: session[name] for name in shown},
    }
