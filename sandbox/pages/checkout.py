"""The hosted Checkout page: what is bought, the card, and where the buyer goes next."""

from __future__ import annotations

from sandbox.engine import checkout, purchase
from sandbox.engine.basket import find_code
from sandbox.errors import StripeError, invalid
from sandbox.money import show
from sandbox.pages.address_form import buyer_fields, read_address, take_tax_id
from sandbox.pages.card_form import card_fields, email_field, quick_buttons, read_card, read_email
from sandbox.pages.layout import (
    Html,
    anchor,
    document,
    join,
    message,
    not_found,
    note,
    redirect,
    render,
)
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.store import Object


@page("GET /pages/checkout/{session}")
def show_checkout(request: PageRequest) -> PageAnswer:
    session = _session(request)
    if session is None:
        return not_found("Checkout session")
    return _closed(session) or _form(request, session, None)


@page("POST /pages/checkout/{session}")
def submit_checkout(request: PageRequest) -> PageAnswer:
    session = _session(request)
    if session is None:
        return not_found("Checkout session")
    if session["status"] == "complete":
        return _done(session)
    closed = _closed(session)
    if closed:
        return closed
    try:
        if request.form.get("act") == "code":
            return _redeem(request, session)
        return _pay(request, session)
    except StripeError as refusal:
        return _form(request, session, str(refusal))


def _session(request: PageRequest) -> Object | None:
    found = request.sandbox.store.find(request.ids[0])
    return found if found and found["object"] == checkout.KIND else None


def _closed(session: Object) -> PageAnswer | None:
    """What a session that cannot be paid any more says."""
    if session["status"] == "complete":
        url = checkout.next_url(session)
        link = anchor(url, "Continue", css="button") if url else Html()
        return message("You're all set", "This payment is complete.", link=link)
    if session["status"] == "expired":
        url = session["cancel_url"]
        link = anchor(url, "Go back", css="button") if url else Html()
        words = "This Checkout session has expired and can no longer be paid. Start again."
        return message("Session expired", words, link=link)
    return None


def _done(session: Object) -> PageAnswer:
    url = checkout.next_url(session)
    return redirect(url) if url else message("You're all set", "This payment is complete.")


def _pay(request: PageRequest, session: Object) -> PageAnswer:
    sandbox = request.sandbox
    if not purchase.open_challenge(sandbox, session):
        email = _known_email(request, session) or read_email(request.form)
        name = request.form.get("name", "").strip()[:200] or None
        if checkout.asks_address(session):
            checkout.take_address(sandbox, session, read_address(request.form))
        take_tax_id(sandbox, session, request.form)
        needs = purchase.needs_card(session)
        method = read_card(sandbox, request.form, email=email) if needs else None
        purchase.pay_session(sandbox, session, method=method, email=email, name=name)
    if session["status"] == "complete":
        return _done(session)
    intent = purchase.open_challenge(sandbox, session)
    return redirect(f"{sandbox.public_url}/pages/authenticate/{intent}")


def _redeem(request: PageRequest, session: Object) -> PageAnswer:
    if not session["allow_promotion_codes"]:
        raise invalid("This session takes no promotion codes.")
    code = find_code(request.sandbox, request.form.get("code", ""))
    if code is None:
        raise invalid("This code is invalid.")
    checkout.add_code(request.sandbox, session, code)
    return redirect(f"{request.sandbox.public_url}/pages/checkout/{session['id']}")


def _known_email(request: PageRequest, session: Object) -> str | None:
    """An e-mail that the shop has set cannot be changed by the buyer."""
    customer = request.sandbox.store.find(session["customer"]) or {}
    email: str | None = customer.get("email") or session["customer_email"]
    return email


def _form(request: PageRequest, session: Object, error: str | None) -> PageAnswer:
    error = error or request.sandbox.store.secret(session["id"], "error")
    request.sandbox.store.hide(session["id"], error=None)
    known = _known_email(request, session)
    email = (
        render('<div class="row"><span>E-mail</span><span>{email}</span></div>', email=known)
        if known
        else email_field(request.form.get("email", ""))
    )
    needs = purchase.needs_card(session)
    body = render(
        '<div class="two"><section>{summary}</section><section class="card">{error}'
        '<form method="post"><h2>{heading}</h2>{email}{card}'
        '<button class="main" name="act" value="pay">{verb}</button>{quick}</form></section></div>',
        summary=_summary(request, session),
        error=note(error),
        heading="Pay by card" if session["amount_total"] else "Your details",
        email=email,
        card=join((buyer_fields(session, request.form), card_fields(request.form)))
        if needs
        else buyer_fields(session, request.form),
        verb=_verb(session),
        quick=quick_buttons() if needs else Html(),
    )
    return document("Checkout", body, status=200 if error is None else 402)


def _verb(session: Object) -> str:
    if session["mode"] == "setup":
        return "Save card"
    amount = show(session["amount_total"], session["currency"])
    if session["mode"] == "subscription":
        return f"Subscribe — pay {amount}" if session["amount_total"] else "Start subscription"
    return f"Pay {amount}"


def _summary(request: PageRequest, session: Object) -> Html:
    back = session["cancel_url"]
    link = anchor(back, "← Back", css="soft small") if back else Html()
    if session["mode"] == "setup":
        return render(
            '<p>{link}</p><h1>Save a card</h1><p class="soft">Nothing is charged now.</p>',
            link=link,
        )
    currency = session["currency"]
    items = checkout.items_in(request.sandbox, session)
    return render(
        '<p>{link}</p><div class="soft">{words}</div><h1 class="sum">{total}</h1>'
        '{rows}{more}<div class="row total"><span>Total due today</span><span>{total}</span></div>'
        "{trial}{code}",
        link=link,
        words="Subscribe" if session["mode"] == "subscription" else "Pay",
        total=show(session["amount_total"], currency),
        rows=join(_item(item) for item in items),
        more=_more(session),
        trial=_trial(request, session),
        code=_code_form(session),
    )


def _item(item: Object) -> Html:
    count = f"{item['quantity']} at " if (item["quantity"] or 1) > 1 else ""
    return render(
        '<div class="row"><span><b>{name}</b><span class="soft small">{count}{every}</span></span>'
        "<span>{amount}</span></div>",
        name=item["description"] or "Item",
        count=count,
        every=every(item["price"]),
        amount=show(item["amount_subtotal"], item["currency"]),
    )


def every(price: Object) -> str:
    """$14.99 / month"""
    if price["unit_amount"] is None:
        return "by usage"
    amount, recurring = show(price["unit_amount"], price["currency"]), price["recurring"]
    if not recurring:
        return f"{amount} each"
    count = recurring["interval_count"]
    interval = recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s"
    return f"{amount} / {interval}"


def _more(session: Object) -> Html:
    sums = session["total_details"] or {}
    rows = (("Discount", -sums.get("amount_discount", 0)), ("Tax", sums.get("amount_tax", 0)))
    return join(
        render(
            '<div class="row soft"><span>{words}</span><span>{amount}</span></div>',
            words=words,
            amount=show(amount, session["currency"]),
        )
        for words, amount in rows
        if amount
    )


def _trial(request: PageRequest, session: Object) -> Html:
    given = request.sandbox.store.secret(session["id"], "given")
    days = (given.get("subscription_data") or {}).get("trial_period_days")
    if not days:
        return Html()
    return render('<p class="soft small end">{days} days free, then it renews.</p>', days=days)


def _code_form(session: Object) -> Html:
    if not session["allow_promotion_codes"] or session["discounts"]:
        return Html()
    return Html(
        '<form method="post" class="code end"><label for="code">Promotion code</label>'
        '<input id="code" name="code" maxlength="60" required>'
        '<button name="act" value="code">Apply</button></form>'
    )
