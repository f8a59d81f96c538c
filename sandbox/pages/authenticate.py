"""The stand-in for the bank's 3-D Secure page: pass it or fail it."""

from __future__ import annotations

from sandbox.engine import checkout, purchase, setups
from sandbox.errors import StripeError
from sandbox.money import show
from sandbox.pages.layout import Html, document, message, not_found, redirect, render
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.store import Object

KINDS = {"payment_intent", "setup_intent"}


@page("GET /pages/authenticate/{intent}")
def ask(request: PageRequest) -> PageAnswer:
    intent = _intent(request)
    if intent is None:
        return not_found("payment")
    if intent["status"] != "requires_action":
        return _next(request, intent)
    amount = Html()
    if intent["object"] == "payment_intent":
        shown = show(intent["amount"], intent["currency"])
        amount = render('<div class="sum">{shown}</div>', shown=shown)
    body = render(
        '<div class="card"><h1>Your bank wants to know that it is you</h1>{amount}'
        '<p class="soft">A stand-in for 3-D Secure: choose what the bank says.</p>'
        '<form method="post"><p><button class="main" name="result" value="complete">'
        'Complete</button></p><button class="danger" name="result" value="fail">Fail</button>'
        "</form></div>",
        amount=amount,
    )
    return document("Authentication", body, narrow=True)


@page("POST /pages/authenticate/{intent}")
def answer(request: PageRequest) -> PageAnswer:
    intent = _intent(request)
    if intent is None:
        return not_found("payment")
    if intent["status"] == "requires_action":
        succeed = request.form.get("result") == "complete"
        try:
            setups.authenticate(request.sandbox, intent["id"], succeed=succeed)
        except StripeError as refusal:
            return message("That did not work", str(refusal), status=400)
    return _next(request, intent)


def _intent(request: PageRequest) -> Object | None:
    found = request.sandbox.store.find(request.ids[0])
    return found if found and found["object"] in KINDS else None


def _next(request: PageRequest, intent: Object) -> PageAnswer:
    """Back to whoever asked: Checkout, portal, invoice, or the shop's return_url."""
    sandbox, store = request.sandbox, request.sandbox.store
    failed = intent.get("last_payment_error") or intent.get("last_setup_error")
    session = store.find(store.secret(intent["id"], "session"))
    if session and session["object"] == checkout.KIND:
        purchase.settle(sandbox, session)
        url = checkout.next_url(session)
        if session["status"] == "complete" and url:
            return redirect(url)
        words = "We could not authenticate your card. Try again, or use another card."
        store.hide(session["id"], error=words if failed else None)
        return redirect(f"{sandbox.public_url}/pages/checkout/{session['id']}")
    if session:
        return redirect(session["url"])
    invoice = store.find(store.secret(intent["id"], "invoice"))
    if invoice and invoice["status"] in ("open", "paid"):
        store.hide(invoice["id"], error="Your card was not authenticated." if failed else None)
        return redirect(invoice["hosted_invoice_url"])
    url = store.secret(intent["id"], "return_url")
    if url:
        return redirect(url)
    words = "The payment was not authenticated." if failed else "You may close this page."
    return message("Authentication failed" if failed else "Thank you", words)
