"""The billing portal: a customer's subscriptions, card and invoices, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import setups
from sandbox.engine.changes import update_subscription
from sandbox.engine.items import items_of, period_of
from sandbox.engine.subscriptions import cancel_subscription
from sandbox.errors import StripeError, invalid
from sandbox.money import show
from sandbox.pages.card_form import card_fields, quick_buttons, read_card
from sandbox.pages.checkout import every
from sandbox.pages.layout import (
    Html,
    anchor,
    chip,
    day,
    document,
    join,
    message,
    not_found,
    note,
    redirect,
    render,
)
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.resources.portal import CONFIGURATION, SESSION, is_alive, touch
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

SHOWN = {"active", "trialing", "past_due", "unpaid", "paused", "incomplete"}
WORDS = {
    "cancel": "Your subscription ends with this period.",
    "resume": "Your subscription goes on.",
    "end": "Your subscription has ended.",
    "switch": "Your plan was changed.",
    "card": "Your new card is saved and will be charged from now on.",
}


@page("GET /pages/portal/{session}")
def show_portal(request: PageRequest) -> PageAnswer:
    session = _session(request)
    if session is None:
        return not_found("portal session")
    return _over(request, session) or _home(request, session, None)


@page("POST /pages/portal/{session}")
def act(request: PageRequest) -> PageAnswer:
    session = _session(request)
    if session is None:
        return not_found("portal session")
    over = _over(request, session)
    if over:
        return over
    wish = request.form.get("act", "")
    wish = "card" if request.form.get("card") else wish
    try:
        if wish == "card":
            return _change_card(request, session)
        _act_on_subscription(request, session, wish)
    except StripeError as refusal:
        return _home(request, session, str(refusal))
    return _after(request, session, wish)


def _session(request: PageRequest) -> Object | None:
    found = request.sandbox.store.find(request.ids[0])
    return found if found and found["object"] == SESSION else None


def _over(request: PageRequest, session: Object) -> PageAnswer | None:
    owner = request.sandbox.store.find(session["customer"])
    if owner and not owner.get("deleted") and is_alive(request.sandbox, session):
        touch(request.sandbox, session)
        return None
    url = session["return_url"]
    link = anchor(url, "Go back", css="button") if url else Html()
    words = "This portal session has expired. Open the portal again from where you came."
    return message("Session expired", words, link=link, status=410)


def _after(request: PageRequest, session: Object, wish: str) -> PageAnswer:
    """303, so that a reload does not act twice; a flow may lead back to the shop."""
    after = (session["flow"] or {}).get("after_completion") or {}
    target = (after.get("redirect") or {}).get("return_url")
    if after.get("type") == "redirect" and target:
        return redirect(target)
    request.sandbox.store.hide(session["id"], said=WORDS[wish])
    return redirect(session["url"])


def _features(sandbox: Sandbox, session: Object) -> Object:
    features: Object = sandbox.store.get(CONFIGURATION, session["configuration"])["features"]
    return features


def _act_on_subscription(request: PageRequest, session: Object, wish: str) -> None:
    sandbox = request.sandbox
    subscription = sandbox.store.get("subscription", request.form.get("subscription", ""))
    if subscription["customer"] != session["customer"]:
        raise invalid("This subscription belongs to someone else.")
    features = _features(sandbox, session)
    if wish in ("cancel", "resume") and features["subscription_cancel"]["enabled"]:
        wanted = {"cancel_at_period_end": wish == "cancel"}
        update_subscription(sandbox, subscription, wanted)
    elif wish == "end" and features["subscription_cancel"]["enabled"]:
        cancel_subscription(sandbox, subscription, at=sandbox.now(subscription))
    elif wish == "switch":
        _switch(sandbox, session, subscription, request.form.get("price", ""))
    else:
        raise invalid("This portal does not allow that.")


def _switch(sandbox: Sandbox, session: Object, subscription: Object, price: str) -> None:
    if price not in [choice["id"] for choice in _choices(sandbox, session, subscription)]:
        raise invalid("This portal does not offer that plan.")
    item = items_of(subscription)[0]
    how = _features(sandbox, session)["subscription_update"]["proration_behavior"]
    change = {"id": item["id"], "price": price, "quantity": item.get("quantity", 1)}
    update_subscription(sandbox, subscription, {"items": [change], "proration_behavior": how})


def _choices(sandbox: Sandbox, session: Object, subscription: Object) -> list[Object]:
    """The prices that the configuration lets this subscription change to."""
    update = _features(sandbox, session)["subscription_update"]
    if not update["enabled"] or "price" not in update["default_allowed_updates"]:
        return []
    own = [item["price"]["id"] for item in items_of(subscription)]
    if len(own) != 1 or subscription["status"] not in ("active", "trialing"):
        return []
    named = [id for product in update["products"] or [] for id in product["prices"]]
    found = [sandbox.store.find(id) for id in named if id not in own]
    return [price for price in found if price and price.get("active")]


def _change_card(request: PageRequest, session: Object) -> PageAnswer:
    sandbox = request.sandbox
    if not _features(sandbox, session)["payment_method_update"]["enabled"]:
        raise invalid("This portal does not allow that.")
    customer = sandbox.store.get("customer", session["customer"])
    method = read_card(sandbox, request.form, email=customer["email"])
    intent = setups.create_setup(sandbox, {"customer": customer["id"], "usage": "off_session"})
    intent["payment_method"] = method["id"]
    sandbox.store.hide(intent["id"], session=session["id"])
    setups.confirm_setup(sandbox, intent)
    if intent["status"] == "requires_action":
        return redirect(f"{sandbox.public_url}/pages/authenticate/{intent['id']}")
    return _after(request, session, "card")


def make_card_default(sandbox: Sandbox, intent: Object) -> None:
    """A card that was saved in the portal pays for everything from then on."""
    session = sandbox.store.find(sandbox.store.secret(intent["id"], "session"))
    if session is None or session["object"] != SESSION:
        return
    customer = sandbox.store.get("customer", session["customer"])
    with sandbox.changing(customer):
        customer["invoice_settings"]["default_payment_method"] = intent["payment_method"]
    for subscription in _subscriptions(sandbox, session):
        if subscription["default_payment_method"]:
            with sandbox.changing(subscription):
                subscription["default_payment_method"] = intent["payment_method"]


setups.on_succeeded.append(make_card_default)


def _subscriptions(sandbox: Sandbox, session: Object) -> list[Object]:
    return [
        one
        for one in sandbox.store.newest_first("subscription")
        if one["customer"] == session["customer"] and one["status"] in SHOWN
    ]


def _home(request: PageRequest, session: Object, error: str | None) -> PageAnswer:
    sandbox = request.sandbox
    said = sandbox.store.secret(session["id"], "said")
    sandbox.store.hide(session["id"], said=None)
    customer = sandbox.store.get("customer", session["customer"])
    back = session["return_url"]
    flow = (session["flow"] or {}).get("type")
    show_all = flow in (None, "customer_update")
    body = render(
        '<div class="top"><h1>Billing</h1>{back}</div><p class="soft">{who}</p>{error}{said}'
        "{subscriptions}{card}{invoices}",
        back=anchor(back, "← Return", css="button") if back else Html(),
        who=customer["name"] or customer["email"] or customer["id"],
        error=note(error),
        said=note(said, "good"),
        subscriptions=_subscription_cards(sandbox, session)
        if show_all or flow != "payment_method_update"
        else Html(),
        card=_card(request, session, customer)
        if show_all or flow == "payment_method_update"
        else Html(),
        invoices=_invoices(sandbox, session) if show_all else Html(),
    )
    return document("Billing", body, status=402 if error else 200)


def _subscription_cards(sandbox: Sandbox, session: Object) -> Html:
    held = _subscriptions(sandbox, session)
    if not held:
        words = '<section class="card"><h2>Subscriptions</h2><p class="soft">None.</p></section>'
        return Html(words)
    return join(_subscription(sandbox, session, one) for one in held)


def _subscription(sandbox: Sandbox, session: Object, subscription: Object) -> Html:
    item = items_of(subscription)[0]
    product = sandbox.store.find(item["price"]["product"]) or {}
    start, end = period_of(subscription)
    ends = subscription["cancel_at"]
    words = f"Ends on {day(ends)}" if ends else f"Renews on {day(end)}"
    if subscription["status"] == "trialing" and not ends:
        words = f"Trial until {day(subscription['trial_end'])}"
    return render(
        '<section class="card"><div class="top"><h2>{plan}</h2>{status}</div>'
        '<div class="row"><span>Price</span><span>{price}</span></div>'
        '<div class="row"><span>Current period</span><span>{start} to {end}</span></div>'
        '<div class="row"><span>Next</span><span>{words}</span></div>{buttons}</section>',
        plan=product.get("name") or "Subscription",
        status=chip(subscription["status"]),
        price=every(item["price"]),
        start=day(start),
        end=day(end),
        words=words,
        buttons=_buttons(sandbox, session, subscription),
    )


def _buttons(sandbox: Sandbox, session: Object, subscription: Object) -> Html:
    parts = []
    if _features(sandbox, session)["subscription_cancel"]["enabled"]:
        mode = _features(sandbox, session)["subscription_cancel"]["mode"]
        if subscription["cancel_at_period_end"]:
            parts.append(Html('<button name="act" value="resume">Resume subscription</button>'))
        elif mode == "at_period_end":
            words = Html('<button name="act" value="cancel">Cancel at period end</button>')
            parts.append(words)
        parts.append(Html('<button class="danger" name="act" value="end">Cancel now</button>'))
    choices = _choices(sandbox, session, subscription)
    if choices:
        parts.append(_switch_form(sandbox, choices))
    return render(
        '<form method="post" class="buttons end"><input type="hidden" name="subscription" '
        'value="{id}">{parts}</form>',
        id=subscription["id"],
        parts=join(parts),
    )


def _switch_form(sandbox: Sandbox, choices: list[Object]) -> Html:
    options = join(
        render(
            '<option value="{id}">{name} — {price}</option>',
            id=price["id"],
            name=(sandbox.store.find(price["product"]) or {}).get("name", "Plan"),
            price=every(price),
        )
        for price in choices
    )
    return render(
        '<label for="price" class="soft">Switch to</label><select id="price" name="price" '
        'style="width:auto;max-width:100%">{options}</select>'
        '<button name="act" value="switch">Switch plan</button>',
        options=options,
    )


def _card(request: PageRequest, session: Object, customer: Object) -> Html:
    sandbox = request.sandbox
    if not _features(sandbox, session)["payment_method_update"]["enabled"]:
        return Html()
    return render(
        '<section class="card"><h2>Payment method</h2><p>{now}</p><details {is_open}>'
        '<summary>Change card</summary><form method="post" class="end">{fields}'
        '<button class="main" name="act" value="card">Save card</button>{quick}</form></details>'
        "</section>",
        now=_card_now(sandbox, session, customer),
        is_open=Html("open") if request.form.get("act") == "card" or session["flow"] else "",
        fields=card_fields(request.form),
        quick=quick_buttons(),
    )


def _card_now(sandbox: Sandbox, session: Object, customer: Object) -> str:
    own = [one["default_payment_method"] for one in _subscriptions(sandbox, session)]
    ids = [*own, customer["invoice_settings"]["default_payment_method"]]
    found = next((m for m in map(sandbox.store.find, ids) if m), None)
    if found is None:
        return "No card saved."
    card = found["card"]
    return f"{card['brand'].title()} ending in {card['last4']}, valid until " + (
        f"{card['exp_month']:02d}/{card['exp_year']}"
    )


def _invoices(sandbox: Sandbox, session: Object) -> Html:
    if not _features(sandbox, session)["invoice_history"]["enabled"]:
        return Html()
    rows = join(
        render(
            '<tr><td>{date}</td><td>{link}</td><td class="num">{amount}</td>'
            '<td>{status}</td><td class="num">{pdf}</td></tr>',
            date=day(invoice["created"]),
            link=anchor(invoice["hosted_invoice_url"], invoice["number"]),
            status=chip(invoice["status"]),
            amount=show(invoice["total"], invoice["currency"]),
            pdf=anchor(invoice["invoice_pdf"], "PDF"),
        )
        for invoice in sandbox.store.newest_first("invoice")
        if invoice["customer"] == session["customer"] and invoice["hosted_invoice_url"]
    )
    return render(
        '<section class="card"><h2>Invoices</h2><div class="scroll"><table class="wraps"><tr>'
        '<th>Date</th><th>Number</th><th class="num">Amount</th><th>Status</th><th></th></tr>'
        "{rows}</table></div></section>",
        rows=rows,
    )
