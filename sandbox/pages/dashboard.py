"""The front page: what happened lately, and what one would do in Stripe's dashboard."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox.engine import disputes, refunds
from sandbox.engine.checkout import KIND as CHECKOUT
from sandbox.errors import StripeError, invalid
from sandbox.money import decimals, plain, show
from sandbox.pages.checkout import every
from sandbox.pages.layout import (
    Html,
    anchor,
    chip,
    document,
    join,
    message,
    minute,
    note,
    redirect,
    render,
)
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.resources.portal import SESSION as PORTAL
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

MOST = 12
STEPS = {"day": timedelta(days=1), "month": timedelta(days=31)}


@page("GET /")
def show_dashboard(request: PageRequest) -> PageAnswer:
    sandbox = request.sandbox
    body = render(
        '<div class="top"><h1>Latchkey sandbox</h1><form method="post" action="/pages/dashboard" '
        'class="buttons"><span class="soft">Its clock: {now} UTC</span>'
        '<button name="act" value="day">+ 1 day</button>'
        '<button name="act" value="month">+ 1 month</button></form></div>{said}{tables}',
        now=minute(sandbox.now()),
        said=note("Done." if request.query.get("said") else None, "good"),
        tables=_tables(sandbox),
    )
    return document("Dashboard", body)


def _tables(sandbox: Sandbox) -> Html:
    heads = {
        "subscription": ("Created", "Subscription", "Customer", "Price", "Status"),
        "charge": ("Created", "Charge", "Amount", "Status", ""),
        "invoice": ("Created", "Invoice", "Customer", "Total", "Status"),
        "customer": ("Created", "Customer", "E-mail", "Name"),
        "event": ("Created", "Type", "Object", "Delivery", ""),
    }
    rows = {
        "subscription": _subscription,
        "charge": _charge,
        "invoice": _invoice,
        "customer": _customer,
        "event": _event,
    }
    session_heads = ("Created", "Session", "Status", "Amount", "")
    tables = [_table("Sessions", session_heads, _sessions(sandbox))]
    for kind, row in rows.items():
        newest = sandbox.store.newest_first(kind)[: 30 if kind == "event" else MOST]
        title = f"{kind.title()}s"
        tables.append(_table(title, heads[kind], [row(sandbox, one) for one in newest]))
    if not any(tables):
        words = "Nothing has happened yet: open a Checkout session, and it shows here."
        return render('<div class="card soft">{words}</div>', words=words)
    return join(tables)


@page("POST /pages/dashboard")
def act(request: PageRequest) -> PageAnswer:
    try:
        _act(request)
    except StripeError as refusal:
        return message("Refused", str(refusal), link=anchor("/", "Back", css="button"), status=400)
    return redirect("/?said=1")


def _act(request: PageRequest) -> None:
    sandbox, form = request.sandbox, request.form
    wish = form.get("act", "")
    if wish in STEPS:
        sandbox.advance(STEPS[wish])
    elif wish == "refund":
        charge = sandbox.store.get("charge", form.get("charge", ""))
        refunds.create_refund(sandbox, charge, amount=_amount(form.get("amount", ""), charge))
    elif wish == "dispute":
        disputes.open_dispute(sandbox, sandbox.store.get("charge", form.get("charge", "")))
    elif wish == "send":
        sandbox.webhooks.enqueue(sandbox.store.get("event", form.get("event", "")))
    else:
        raise invalid("The dashboard does not know that button.")


def _amount(text: str, charge: Object) -> int | None:
    """Minor units of what was typed, as 4.99; nothing means all that is left."""
    if not text.strip():
        return None
    whole, _, part = text.strip().replace(",", "").partition(".")
    places = decimals(charge["currency"])
    if not (whole + part).isascii() or not (whole + part).isdigit() or len(part) > places:
        raise invalid("Type the amount to refund as a number, for example 4.99.", param="amount")
    return int((whole or "0") + part.ljust(places, "0"))


def _table(title: str, heads: tuple[str, ...], rows: list[Html]) -> Html:
    if not rows:
        return Html()
    return render(
        '<section class="card"><h2>{title}</h2><div class="scroll"><table><tr>{heads}</tr>{rows}'
        "</table></div></section>",
        title=title,
        heads=join(render("<th>{head}</th>", head=head) for head in heads),
        rows=join(rows),
    )


def _row(*cells: object) -> Html:
    return render("<tr>{cells}</tr>", cells=join(render("<td>{c}</td>", c=c) for c in cells))


def _code(text: str) -> Html:
    return render("<code>{text}</code>", text=text)


def _sessions(sandbox: Sandbox) -> list[Html]:
    kinds = (CHECKOUT, PORTAL)
    both = [one for kind in kinds for one in sandbox.store.newest_first(kind)[:MOST]]
    return [_session(one) for one in sorted(both, key=lambda one: -one["created"])[:MOST]]


def _session(one: Object) -> Html:
    is_checkout = one["object"] == CHECKOUT
    amount = ""
    if is_checkout and one["amount_total"] is not None:
        amount = show(one["amount_total"], one["currency"])
    link = anchor(one["url"], "Open") if one["url"] else ""
    status = chip(one["status"]) if is_checkout else chip("portal")
    return _row(minute(one["created"]), _code(one["id"]), status, amount, link)


def _subscription(sandbox: Sandbox, one: Object) -> Html:
    price = every(one["items"]["data"][0]["price"])
    who = _who(sandbox, one["customer"])
    return _row(minute(one["created"]), _code(one["id"]), who, price, chip(one["status"]))


def _who(sandbox: Sandbox, id: str) -> str:
    customer = sandbox.store.find(id) or {}
    return str(customer.get("email") or customer.get("name") or id)


def _charge(sandbox: Sandbox, one: Object) -> Html:
    amount, status = show(one["amount"], one["currency"]), chip(one["status"])
    left = one["amount_captured"] - one["amount_refunded"]
    if one["amount_refunded"]:
        amount += f" (refunded {show(one['amount_refunded'], one['currency'])})"
    if one["disputed"]:
        status = join([status, Html(" "), chip("disputed")])
    buttons = Html()
    if one["paid"] and left and not one["disputed"]:
        buttons = render(
            '<form method="post" action="/pages/dashboard" class="buttons"><input type="hidden" '
            'name="charge" value="{id}"><input name="amount" aria-label="Amount to refund" '
            'inputmode="decimal" placeholder="{left}"><button name="act" value="refund">Refund'
            '</button><button class="danger" name="act" value="dispute">Dispute</button></form>',
            id=one["id"],
            left=plain(left, one["currency"]),
        )
    return _row(minute(one["created"]), _code(one["id"]), amount, status, buttons)


def _invoice(sandbox: Sandbox, one: Object) -> Html:
    url = one["hosted_invoice_url"]
    name = anchor(url, one["number"]) if url else _code(one["id"])
    amount = show(one["total"], one["currency"])
    who = _who(sandbox, one["customer"])
    return _row(minute(one["created"]), name, who, amount, chip(one["status"]))


def _customer(sandbox: Sandbox, one: Object) -> Html:
    name, email = one["name"] or "", one["email"] or ""
    return _row(minute(one["created"]), _code(one["id"]), email, name)


def _event(sandbox: Sandbox, one: Object) -> Html:
    again = render(
        '<form method="post" action="/pages/dashboard"><input type="hidden" name="event" '
        'value="{id}"><button name="act" value="send">Send again</button></form>',
        id=one["id"],
    )
    is_delivered = sandbox.store.secret(one["id"], "delivered")
    state = chip("delivered") if is_delivered else chip("waiting")
    if not sandbox.webhooks.endpoints:
        state, again = chip("nobody listens"), Html()
    tried = [str(e["status"]) for e in sandbox.webhooks.log if e["event"] == one["id"]]
    answers = render(' <span class="soft small">{a}</span>', a=" ".join(tried)) if tried else Html()
    shown = _code(one["data"]["object"].get("id", ""))
    return _row(minute(one["created"]), one["type"], shown, join([state, answers]), again)
