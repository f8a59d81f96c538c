"""Connect: accounts of others, links to their onboarding, transfers to them and their payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox import generic
from sandbox.control import action
from sandbox.engine import connect
from sandbox.errors import StripeError, invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.resources.account import ACCOUNT_ID
from sandbox.shapes import blank
from sandbox.store import Object, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox

LINK_SECONDS = 300


@on("POST /v1/accounts")
def create_account(call: Call) -> Object:
    return connect.open_connected(call.sandbox, call.params)


@on("GET /v1/accounts")
def list_accounts(call: Call) -> Object:
    found = [each for each in call.store.newest_first("account") if each["id"] != ACCOUNT_ID]
    return paginate(matching(found, call.params), call.params, url=call.path)


@on("GET /v1/accounts/{account}")
def retrieve_account(call: Call) -> Object:
    return generic.retrieve(call, "account")


@on("POST /v1/account_links")
def create_link(call: Call) -> Object:
    account = call.given("account", "account")
    if account is None or account["id"] == ACCOUNT_ID:
        raise invalid("No such connected account.", param="account")
    for name in ("refresh_url", "return_url"):
        if not str(call.params.get(name) or "").startswith(("http://", "https://")):
            raise StripeError(400, "Not a valid URL", code="url_invalid", param=name)
    token = random_text(24)
    now = call.sandbox.now()
    made = blank("account_link")
    made.update(
        created=now,
        expires_at=now + LINK_SECONDS,
        url=f"{call.sandbox.public_url}/pages/connect/{token}",
    )
    urls = {name: call.params[name] for name in ("refresh_url", "return_url")}
    call.store.hide(f"link_{token}", account=account["id"], dies=made["expires_at"], **urls)
    return made


@on("POST /v1/transfers")
def create_transfer(call: Call) -> Object:
    return connect.transfer(call.sandbox, call.params)


@on("POST /v1/transfers/{id}/reversals")
def create_reversal(call: Call) -> Object:
    return connect.reverse(call.sandbox, call.store.get("transfer", call.id), call.params)


@on("GET /v1/transfers/{id}/reversals")
def list_reversals(call: Call) -> Object:
    found = call.store.get("transfer", call.id)["reversals"]["data"]
    return paginate(found, call.params, url=call.path)


@on("POST /v1/payouts")
def create_payout(call: Call) -> Object:
    return connect.pay_out(call.sandbox, _acting(call), call.params)


@on("GET /v1/payouts")
def list_payouts(call: Call) -> Object:
    found = connect.payouts_of(call.sandbox, _acting(call)["id"])
    return paginate(matching(found, call.params), call.params, url=call.path)


@on("GET /v1/payouts/{payout}")
def retrieve_payout(call: Call) -> Object:
    account = _acting(call)
    found = call.store.get("payout", call.id)
    if call.store.secret(found["id"], "account") != account["id"]:
        raise StripeError(404, f"No such payout: '{call.id}'", code="resource_missing")
    return found


def _acting(call: Call) -> Object:
    """The connected account in whose name the call is made; here only such have payouts."""
    named = call.headers.get("stripe-account", "")
    if not named:
        raise invalid("Payouts of the own account are not part of the sandbox.")
    account = call.store.find(named)
    if account is None or account["object"] != "account":
        words = f"The provided key does not have access to account '{named}'."
        raise StripeError(403, words, code="account_invalid")
    return account


@on("GET /v1/balance")
def show_balance(call: Call) -> Object:
    """Of the own account, or of the connected one in whose name it is asked."""
    named = call.headers.get("stripe-account", "")
    balance = blank("balance")
    currencies = {each["currency"] for each in call.store.all("balance_transaction")} | {"usd"}
    balance["pending"] = []
    balance["available"] = [
        {
            "amount": connect.connected_balance(call.sandbox, named, currency)
            if named
            else connect.platform_balance(call.sandbox, currency),
            "currency": currency,
            "source_types": {"card": 0},
        }
        for currency in sorted(currencies)
    ]
    return balance


@action("accounts/complete")
def complete_account(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """{"account": "acct_...", "bank_refuses": false}: as its owner does on the page."""
    account = sandbox.store.get("account", given["account"])
    connect.complete(sandbox, account, bank_refuses=bool(given.get("bank_refuses")))


@action("accounts/disable")
def disable_account(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """{"account": "acct_...", "reason": "rejected.fraud"}"""
    account = sandbox.store.get("account", given["account"])
    reason = given.get("reason", "requirements.past_due")
    connect.disable(sandbox, account, reason=reason, due=given.get("due", []))


@action("payouts/settle")
def settle_payout(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """{"payout": "po_...", "succeed": true}"""
    found = sandbox.store.get("payout", given["payout"])
    return connect.settle_payout(sandbox, found, succeed=bool(given.get("succeed", True)))
