"""An open invoice is paid once, voided or given up; a card that is refused changes nothing."""

import pytest

from billing import gateway
from billing.models import Invoice, Operation
from config.clock import now
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.subscribers import give_card, subscribe
from tests.keystore.tokens_cast import accept_tokens, user_client
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(alice, pro_monthly):
    """Alice's first month, which nothing paid yet."""
    subscribe(alice, pro_monthly, now, card="", collection_method="send_invoice", days_until_due=7)
    return Invoice.objects.get()


@pytest.fixture
def user(journal, invoice):
    accept_tokens(journal)
    return user_client("alice", journal)


def ask(client, invoice, act, **body):
    return client.post(f"/api/v1/invoices/{invoice.stripe_invoice_id}/{act}", body, format="json")


def charges():
    return [one for one in gateway.read_all("/v1/charges") if one["status"] == "succeeded"]


def test_a_user_pays_with_the_default_card_once(user, alice, invoice):
    give_card(alice.stripe_customer, "pm_card_visa")

    first, second = ask(user, invoice, "pay"), ask(user, invoice, "pay")

    assert (first.status_code, first.json()["status"]) == (200, "paid")
    assert (second.status_code, second.json()["code"]) == (409, "invoice_not_open")
    assert [one["amount"] for one in charges()] == [1499]


def test_an_app_names_the_card(api, alice, invoice):
    card = give_card(alice.stripe_customer, "pm_card_visa", default=False)

    assert ask(api, invoice, "pay", payment_method="pm_other").status_code == 404
    assert ask(api, invoice, "pay", payment_method=card).json()["status"] == "paid"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_chargeCustomerFail", "payment_declined"),
        ("pm_card_authenticationRequired", "payment_needs_confirmation"),
    ],
)
def test_a_refused_card_says_what_to_do(user, alice, invoice, card, code):
    give_card(alice.stripe_customer, card)

    answer = ask(user, invoice, "pay")

    assert (answer.status_code, answer.json()["code"]) == (402, code)
    assert answer.json()["hosted_url"] == invoice.hosted_url
    assert charges() == []
    invoice.refresh_from_db()
    assert invoice.status == "open"


def test_eight_clicks_pay_once(alice, invoice, user):
    give_card(alice.stripe_customer, "pm_card_visa")

    answers = at_once(lambda: ask(user, invoice, "pay").status_code)

    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 503}
    assert len(charges()) == 1


def test_a_lost_answer_is_found_and_not_sent_again(user, alice, invoice, stripe_world):  # noqa: F811
    give_card(alice.stripe_customer, "pm_card_visa")
    stripe_world.faults.add("POST /v1/invoices/*/pay", "reset_after", times=1)

    answer = ask(user, invoice, "pay")

    assert (answer.status_code, answer.json()["done"]) == (202, False)
    assert len(charges()) == 1


def test_what_was_not_sent_is_not_charged_later(user, alice, invoice, stripe_world):  # noqa: F811
    give_card(alice.stripe_customer, "pm_card_visa")
    stripe_world.faults.add("POST /v1/invoices/*/pay", "rate_limit", times=1)

    answer = ask(user, invoice, "pay")

    assert (answer.status_code, answer.json()["code"]) == (503, "stripe_unavailable")
    assert list(Operation.objects.filter(kind="pay_invoice").values_list("state", flat=True)) == [
        "failed"
    ]


def test_an_app_gives_up_and_voids(api, user, invoice):
    assert ask(user, invoice, "void").status_code in (401, 403)

    assert ask(api, invoice, "uncollectible", reason="Bankrupt").json()["status"] == "uncollectible"
    assert ask(api, invoice, "uncollectible").json()["code"] == "invoice_not_open"
    assert ask(api, invoice, "void", reason="Settled").json()["status"] == "void"
    assert ask(api, invoice, "pay").json()["code"] == "invoice_not_open"


@pytest.mark.parametrize("act", ["pay"])
def test_somebody_elses_invoice_is_not_touched(journal, bob, user, invoice, act):
    answer = ask(user_client("bob", journal), invoice, act)

    assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
    assert not Operation.objects.filter(subject=invoice.stripe_invoice_id).exists()
