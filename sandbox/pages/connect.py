"""Onboarding of a connected account: one page on which it is completed or fails."""

from __future__ import annotations

from sandbox.engine import connect
from sandbox.pages.layout import document, not_found, redirect, render
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.store import Object

FORM = """
<div class="card"><h1>Get paid</h1>
<p>Account {account} in {country}. Stripe would ask for a name, a document and a bank account.</p>
<form method="post">
<p><button name="act" value="complete">Give everything that is asked for</button></p>
<p><button name="act" value="refuse">The same, with a bank account that refuses payouts</button></p>
<p><button name="act" value="fail">Give a document that cannot be read</button></p>
<p><button name="act" value="leave">Do it later</button></p>
</form></div>
"""


@page("GET /pages/connect/{token}")
def show_onboarding(request: PageRequest) -> PageAnswer:
    account = _account(request)
    if account is None:
        return _over(request)
    body = render(FORM, account=account["id"], country=account["country"])
    return document("Onboarding", body, narrow=True)


@page("POST /pages/connect/{token}")
def act(request: PageRequest) -> PageAnswer:
    account = _account(request)
    if account is None:
        return _over(request)
    wish = request.form.get("act", "leave")
    if wish in ("complete", "refuse"):
        connect.complete(request.sandbox, account, bank_refuses=wish == "refuse")
    elif wish == "fail":
        asked = ["individual.verification.document"]
        reason = "requirements.past_due"
        connect.disable(request.sandbox, account, reason=reason, due=asked)
    request.sandbox.store.hide(_name(request), dies=0)  # a link serves once
    return redirect(_kept(request, "return_url"))


def _name(request: PageRequest) -> str:
    return f"link_{request.ids[0]}"


def _kept(request: PageRequest, name: str) -> str:
    return str(request.sandbox.store.secret(_name(request), name, ""))


def _account(request: PageRequest) -> Object | None:
    """The account of a link that is still good."""
    dies = request.sandbox.store.secret(_name(request), "dies", 0)
    alive = request.sandbox.now() < dies
    return request.sandbox.store.find(_kept(request, "account")) if alive else None


def _over(request: PageRequest) -> PageAnswer:
    """Stripe sends the holder of a spent link to where a new one is made."""
    url = _kept(request, "refresh_url")
    return redirect(url) if url else not_found("onboarding link")
