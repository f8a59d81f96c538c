"""A buyer pays a Checkout session: by card, at once or after authentication, and only once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import invoices, payments, setups, tax
from sandbox.engine.checkout import KIND, details, items_in
from sandbox.engine.discounts import make_discounts
from sandbox.engine.lines import line
from sandbox.engine.subscriptions import create_subscription
from sandbox.errors import invalid
from sandbox.registry import Call, handler_for
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

COPIED_TO_SUBSCRIPTION = (
    "application_fee_percent", "billing_cycle_anchor", "default_tax_rates", "description",
    "invoice_settings", "metadata", "on_behalf_of", "proration_behavior", "transfer_data",
    "trial_end", "trial_period_days", "trial_settings",
)  # fmt: skip


def needs_card(session: Object) -> bool:
    if session["mode"] == "setup" or session["amount_total"]:
        return True
    is_subscription = session["mode"] == "subscription"
    return bool(is_subscription and session["payment_method_collection"] == "always")


def pay_session(
    sandbox: Sandbox,
    session: Object,
    *,
    method: Object | None,
    email: str | None,
    name: str | None,
) -> str:
    """Gives complete or challenge; raises the card's refusal, after which it may be tried again."""
    if session["status"] == "complete":
        return "complete"
    if session["status"] != "open":
        raise invalid("This Checkout Session has expired.", code="checkout_session_expired")
    if open_challenge(sandbox, session):
        return "challenge"
    if method is None and needs_card(session):
        raise invalid("Missing required param: payment_method.", param="payment_method")
    buyer = _buyer(sandbox, session, email=email, name=name)
    session["customer_details"] = details(email=email or (buyer or {}).get("email"), name=name)
    _keep_address(sandbox, session, buyer)
    sandbox.store.hide(session["id"], method=method["id"] if method else None)
    begin = {"payment": _pay_once, "subscription": _subscribe, "setup": _save_card}
    begin[session["mode"]](sandbox, session, buyer, method)
    settle(sandbox, session)
    return "complete" if session["status"] == "complete" else "challenge"


def _keep_address(sandbox: Sandbox, session: Object, buyer: Object | None) -> None:
    """What was typed goes onto the customer, if the session may; the tax id always does."""
    typed = sandbox.store.secret(session["id"], "address")
    known = sandbox.store.secret(session["id"], "given").get("customer_update") or {}
    session["customer_details"]["address"] = typed or (buyer or {}).get("address")
    may = session["customer"] is None or known.get("address") == "auto"
    if buyer and typed and may:
        with sandbox.changing(buyer):
            buyer["address"] = typed
    shown = tax.shown_ids(sandbox, buyer["id"]) if buyer else []
    session["customer_details"]["tax_ids"] = shown


def open_challenge(sandbox: Sandbox, session: Object) -> str | None:
    """The intent whose authentication the buyer still owes."""
    intent = sandbox.store.find(sandbox.store.secret(session["id"], "intent"))
    is_open = intent is not None and intent["status"] == "requires_action"
    return intent["id"] if intent and is_open else None


def _buyer(
    sandbox: Sandbox, session: Object, *, email: str | None, name: str | None
) -> Object | None:
    """The customer who pays: the one named, else a new one if the session makes one."""
    known = session["customer"] or sandbox.store.secret(session["id"], "buyer")
    if known:
        customer = sandbox.store.get("customer", known, param="customer", status=400)
        if email and not customer["email"]:
            with sandbox.changing(customer):
                customer["email"] = email
        return customer
    if session["customer_creation"] != "always":
        return None
    create = handler_for("POST", "/v1/customers")
    assert create is not None
    wanted = {"email": email, "name": name}
    params = {key: value for key, value in wanted.items() if value}
    path = "/v1/customers"
    made: Object = create(Call(sandbox, "POST", path, path, [], params))
    sandbox.store.hide(session["id"], buyer=made["id"])
    return made


def _given(sandbox: Sandbox, session: Object, name: str) -> dict[str, Any]:
    return dict(sandbox.store.secret(session["id"], "given").get(name) or {})


def _watch(sandbox: Sandbox, session: Object, intent: Object) -> None:
    """Whatever becomes of the intent, the session hears of it."""
    sandbox.store.hide(session["id"], intent=intent["id"])
    sandbox.store.hide(intent["id"], session=session["id"])


def _pay_once(
    sandbox: Sandbox, session: Object, buyer: Object | None, method: Object | None
) -> None:
    if not session["amount_total"] or method is None:
        return
    intent = sandbox.store.find(session["payment_intent"])
    if intent is None or intent["amount"] != session["amount_total"]:
        intent = _new_intent(sandbox, session, buyer)
    outcome = payments.confirm_intent(sandbox, intent, payment_method=method["id"])
    if outcome == "declined":
        raise payments.decline_of(sandbox, intent)


def _new_intent(sandbox: Sandbox, session: Object, buyer: Object | None) -> Object:
    data = _given(sandbox, session, "payment_intent_data")
    if session["invoice_creation"]["enabled"] and buyer:
        intent = _invoiced_intent(sandbox, session, buyer)
        intent["metadata"].update(data.get("metadata") or {})
    else:
        intent = payments.create_intent(
            sandbox,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=buyer["id"] if buyer else None,
            **data,
        )
    session["payment_intent"] = intent["id"]
    _watch(sandbox, session, intent)
    return intent


def _invoiced_intent(sandbox: Sandbox, session: Object, buyer: Object) -> Object:
    """With `invoice_creation` the payment is that of an invoice for the same items."""
    at, data = sandbox.now(buyer), session["invoice_creation"]["invoice_data"]
    lines = [
        line(
            amount=item["amount_subtotal"],
            currency=item["currency"],
            description=item["description"],
            period=(at, at),
            price=item["price"],
            quantity=item["quantity"],
            tax_rates=sandbox.store.secret(item["id"], "tax_rates"),
        )
        for item in items_in(sandbox, session)
    ]
    discounts = make_discounts(
        sandbox, _wishes(session), customer=buyer["id"], subscription=None, at=at
    )
    invoice = invoices.assemble_invoice(
        sandbox,
        customer=buyer,
        lines=lines,
        currency=session["currency"],
        reason="manual",
        at=at,
        discounts=discounts,
        metadata=data.get("metadata"),
        description=data.get("description"),
        footer=data.get("footer"),
    )
    invoices.store_draft(sandbox, invoice)
    invoices.finalize_invoice(sandbox, invoice)
    session["invoice"] = invoice["id"]
    intent = invoices.intent_of(sandbox, invoice)
    assert intent is not None
    return intent


def _wishes(session: Object) -> list[dict[str, Any]]:
    return [
        {"promotion_code": wish["promotion_code"]}
        if wish["promotion_code"]
        else {"coupon": wish["coupon"]}
        for wish in session["discounts"] or []
    ]


def _subscribe(
    sandbox: Sandbox, session: Object, buyer: Object | None, method: Object | None
) -> None:
    assert buyer is not None
    if not session["amount_total"]:
        if method is None:
            _begin_subscription(sandbox, session, buyer, None)
        else:
            # Nothing is due yet: save the card first, subscribe once that has worked.
            _save_card(sandbox, session, buyer, method)
        return
    assert method is not None
    subscription = _begun(sandbox, session)
    if subscription is None or subscription["status"] != "incomplete":
        subscription = _begin_subscription(sandbox, session, buyer, None)
    invoice = sandbox.store.get("invoice", subscription["latest_invoice"])
    intent = invoices.intent_of(sandbox, invoice)
    if intent is None:
        return
    _watch(sandbox, session, intent)
    outcome = invoices.pay_invoice(sandbox, invoice, payment_method=method["id"], off_session=False)
    if outcome == "failed":
        raise payments.decline_of(sandbox, intent)


def _begun(sandbox: Sandbox, session: Object) -> Object | None:
    return sandbox.store.find(sandbox.store.secret(session["id"], "subscription"))


def _begin_subscription(
    sandbox: Sandbox, session: Object, buyer: Object, method: str | None
) -> Object:
    """Incomplete until its first invoice is paid, as Checkout's subscriptions are."""
    data = _given(sandbox, session, "subscription_data")
    wanted = {name: data[name] for name in COPIED_TO_SUBSCRIPTION if name in data}
    wanted.update(customer=buyer["id"], payment_behavior="default_incomplete")
    if method:
        wanted["default_payment_method"] = method
    if session["discounts"]:
        wanted["discounts"] = _wishes(session)
    if session["automatic_tax"]["enabled"]:
        wanted["automatic_tax"] = {"enabled": True}
    wanted["items"], wanted["add_invoice_items"] = [], []
    for item in items_in(sandbox, session):
        rates = [rate["id"] for rate in sandbox.store.secret(item["id"], "tax_rates") or []]
        entry = {"price": item["price"]["id"], "tax_rates": rates}
        if item["quantity"] is not None:
            entry["quantity"] = item["quantity"]
        kind = "items" if item["price"]["recurring"] else "add_invoice_items"
        wanted[kind].append(entry)
    subscription = create_subscription(sandbox, wanted)
    sandbox.store.hide(session["id"], subscription=subscription["id"])
    return subscription


def _save_card(
    sandbox: Sandbox, session: Object, buyer: Object | None, method: Object | None
) -> None:
    assert method is not None
    intent = sandbox.store.find(sandbox.store.secret(session["id"], "intent"))
    if intent is None or intent["object"] != "setup_intent":
        wanted = _given(sandbox, session, "setup_intent_data")
        if buyer:
            wanted["customer"] = buyer["id"]
        intent = setups.create_setup(sandbox, wanted)
        if session["mode"] == "setup":
            session["setup_intent"] = intent["id"]
        _watch(sandbox, session, intent)
    intent["payment_method"] = method["id"]
    setups.confirm_setup(sandbox, intent)


def settle(sandbox: Sandbox, session: Object) -> None:
    """Complete the session if all that it waits for has happened; may be called at any time."""
    intent = sandbox.store.find(sandbox.store.secret(session["id"], "intent"))
    if session["status"] != "open":
        return
    if intent and intent["status"] not in ("succeeded", "requires_capture"):
        return
    if session["mode"] == "subscription":
        _finish_subscription(sandbox, session)
    elif session["mode"] == "payment":
        is_paid = not intent or intent["status"] == "succeeded"
        due = "paid" if session["amount_total"] else "no_payment_required"
        session["payment_status"] = due if is_paid else "unpaid"
    session["customer"] = session["customer"] or sandbox.store.secret(session["id"], "buyer")
    session.update(status="complete", url=None, client_secret=None)
    sandbox.emit("checkout.session.completed", session)


def _finish_subscription(sandbox: Sandbox, session: Object) -> None:
    buyer = session["customer"] or sandbox.store.secret(session["id"], "buyer")
    method = sandbox.store.secret(session["id"], "method")
    subscription = _begun(sandbox, session)
    if subscription is None:
        customer = sandbox.store.get("customer", buyer, status=400)
        subscription = _begin_subscription(sandbox, session, customer, method)
    elif method:
        with sandbox.changing(subscription):
            subscription["default_payment_method"] = method
    invoice = sandbox.store.get("invoice", subscription["latest_invoice"])
    paid = "paid" if invoice["amount_paid"] else "no_payment_required"
    session.update(
        subscription=subscription["id"],
        invoice=invoice["id"],
        payment_status=paid,
        amount_total=invoice["total"],
    )


def _session_of(sandbox: Sandbox, intent: Object) -> Object | None:
    id = sandbox.store.secret(intent["id"], "session")
    found = sandbox.store.find(id)
    return found if found and found["object"] == KIND else None


def follow_intent(sandbox: Sandbox, intent: Object) -> None:
    session = _session_of(sandbox, intent)
    if session:
        settle(sandbox, session)


# After the invoices' own listener, so that the subscription is active by then.
payments.on_succeeded.append(follow_intent)
setups.on_succeeded.append(follow_intent)
