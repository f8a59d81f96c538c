"""Connected accounts: onboarding, transfers, reversals and payouts as Stripe has them."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import stripe

from sandbox.engine.ledger import record_balance


@pytest.fixture
def account(client):
    return client.accounts.create(
        {
            "type": "express",
            "country": "US",
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"operation_id": "op_1"},
        }
    )


@pytest.fixture
def ready(sandbox, client, account):
    """The account after its onboarding, and 100.00 USD on ours."""
    onboard(sandbox, client, account)
    source = {"id": "tu_1", "object": "topup", "currency": "usd"}
    record_balance(sandbox, source=source, amount=10_000, type="topup")
    return account


def onboard(sandbox, client, account, act="complete"):
    link = client.account_links.create(
        {
            "account": account.id,
            "type": "account_onboarding",
            "return_url": "https://app.example.com/done",
            "refresh_url": "https://app.example.com/again",
        }
    )
    path = urlsplit(link.url).path
    return path, sandbox.open_page("POST", path, query={}, form={"act": act})


def types(sandbox):
    return [event["type"] for event in sandbox.store.all("event")]


def send(client, account, amount=4_000):
    return client.transfers.create({"amount": amount, "currency": "usd", "destination": account.id})


def pay_out(client, account, amount=4_000):
    options = {"stripe_account": account.id}
    return client.payouts.create({"amount": amount, "currency": "usd"}, options)


def test_a_new_account_says_what_is_asked_for(account):
    assert account.payouts_enabled is False
    assert account.requirements.currently_due
    assert account.capabilities["transfers"] == "inactive"


def test_onboarding_completes_the_account_and_tells_it(sandbox, client, account):
    _, answer = onboard(sandbox, client, account)

    assert answer.headers["Location"] == "https://app.example.com/done"
    assert client.accounts.retrieve(account.id).payouts_enabled is True
    [event] = [e for e in sandbox.store.all("event") if e["type"] == "account.updated"]
    assert event["account"] == account.id


def test_a_link_serves_once(sandbox, client, account):
    path, _ = onboard(sandbox, client, account)

    again = sandbox.open_page("GET", path, query={}, form={})

    assert again.headers["Location"] == "https://app.example.com/again"


def test_a_document_that_cannot_be_read_leaves_it_disabled(sandbox, client, account):
    onboard(sandbox, client, account, act="fail")

    found = client.accounts.retrieve(account.id)
    assert found.requirements.currently_due == ["individual.verification.document"]


def test_nothing_is_transferred_to_an_account_without_the_capability(client, account):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        send(client, account)

    assert refusal.value.code == "insufficient_capabilities_for_transfer"


def test_nothing_is_transferred_that_is_not_there(client, ready):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        send(client, ready, 10_001)

    assert refusal.value.code == "balance_insufficient"


def test_a_transfer_is_paid_out_after_days(sandbox, client, ready):
    send(client, ready)
    payout = pay_out(client, ready)
    assert payout.status == "pending"

    sandbox.advance(timedelta(days=2))

    options = {"stripe_account": ready.id}
    assert client.payouts.retrieve(payout.id, options=options).status == "paid"
    assert types(sandbox)[-1] == "payout.paid"


def test_a_bank_that_refuses_gives_the_money_back_to_the_account(sandbox, client, ready):
    onboard(sandbox, client, ready, act="refuse")
    send(client, ready)
    pay_out(client, ready)
    sandbox.advance(timedelta(days=2))

    assert types(sandbox)[-1] == "payout.failed"
    balance = client.balance.retrieve(options={"stripe_account": ready.id})
    assert balance.available[0].amount == 4_000


def test_a_transfer_is_reversed_once(client, ready):
    made = send(client, ready)
    client.transfers.reversals.create(made.id)

    assert client.transfers.retrieve(made.id).reversed is True
    assert client.balance.retrieve().available[0].amount == 10_000
    with pytest.raises(stripe.InvalidRequestError):
        client.transfers.reversals.create(made.id)


def test_a_disabled_account_pays_nothing_out(sandbox, client, ready):
    send(client, ready)
    onboard(sandbox, client, ready, act="fail")

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        pay_out(client, ready)

    assert refusal.value.code == "payouts_not_allowed"


def test_another_account_does_not_see_the_payout(client, ready):
    send(client, ready)
    payout = pay_out(client, ready)
    other = client.accounts.create({"type": "express"})

    with pytest.raises(stripe.InvalidRequestError):
        client.payouts.retrieve(payout.id, options={"stripe_account": other.id})
