"""Saved payment methods: added by Stripe's forms, listed, preferred, let go; one's own alone."""

import pytest

from billing import gateway
from billing.customers import ensure_customer
from billing.models import Operation
from config.clock import now
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.subscribers import give_card, subscribe
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/payment-methods"


@pytest.fixture
def subscription(alice, pro_monthly):
    """Alice pays with a visa."""
    return subscribe(alice, pro_monthly, now)


@pytest.fixture
def user(journal, subscription):
    accept_tokens(journal)
    return user_client("alice", journal)


@pytest.fixture
def stranger(journal, bob, user):
    ensure_customer(consumer=bob, actor="system", at=now())
    return user_client("bob", journal)


def cards(client, whose=""):
    return client.get(f"{URL}{whose}").json()["data"]


def test_a_setup_answers_a_secret_and_stripes_page(user, alice, stripe_world):  # noqa: F811
    answer = user.post(URL, {}, format="json")
    told = answer.json()
    assert (answer.status_code, told["client_secret"].startswith("seti_")) == (201, True)

    confirmed = gateway.write(
        f"/v1/setup_intents/{told['id']}/confirm",
        {"payment_method": "pm_card_mastercard"},
        idempotency_key="t:confirm",
    )

    assert confirmed["customer"] == alice.stripe_customer.stripe_customer_id
    assert [one["brand"] for one in cards(user)] == ["mastercard", "visa"]
    assert told["url"].startswith("http")


def test_a_first_card_of_a_new_user_becomes_the_default(api, journal, stripe_world):  # noqa: F811
    accept_tokens(journal)
    ada = user_client("ada", journal)

    told = ada.post(URL, {"payment_method_id": "pm_card_visa"}, format="json").json()

    assert (told["brand"], told["last4"], told["is_default"]) == ("visa", "4242", True)
    assert cards(api, "?user_id=ada") == [told]


def test_another_card_becomes_the_default_and_the_old_one_goes(user, alice, subscription):
    first = cards(user)[0]
    refused = user.delete(f"{URL}/{first['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "card_in_use")
    assert "default" in refused.json()["detail"]

    second = give_card(alice.stripe_customer, "pm_card_mastercard", default=False)
    told = user.put(f"{URL}/{second}/default", {}, format="json").json()
    again = user.put(f"{URL}/{second}/default", {}, format="json").json()

    assert told == again
    assert told["pays_for"] == [subscription.stripe_subscription_id]
    assert user.delete(f"{URL}/{first['id']}").json()["deleted"] is True
    assert [one["id"] for one in cards(user)] == [second]


def test_somebody_elses_card_does_not_exist(user, stranger):
    own = cards(user)[0]["id"]
    before = Operation.objects.count()

    answers = [
        stranger.put(f"{URL}/{own}/default", {}, format="json"),
        stranger.delete(f"{URL}/{own}"),
        stranger.post(URL, {"payment_method_id": own}, format="json"),
        stranger.get(f"{URL}?user_id=alice"),
    ]

    assert [one.status_code for one in answers] == [404] * 4
    assert (cards(stranger), cards(user)[0]["id"]) == ([], own)
    assert Operation.objects.count() == before


def test_an_app_needs_no_user_for_a_card_of_its_project(api, orbit, subscription, alice):
    from rest_framework.test import APIClient

    from keystore.services import issue_key

    second = give_card(alice.stripe_customer, "pm_card_mastercard", default=False)
    app = orbit.apps.create(name="x")
    key = issue_key(project=orbit, owner=app, scopes=("*",), actor="system", at=now())
    foreign = APIClient()
    foreign.credentials(HTTP_X_API_KEY=key.plaintext)

    assert foreign.delete(f"{URL}/{second}").status_code == 404
    assert api.delete(f"{URL}/{second}").json()["deleted"] is True


def test_while_stripe_is_away_the_list_is_as_last_seen(user, alice, stripe_world):  # noqa: F811
    from billing.sync import sync_customer

    card = cards(user)[0]["id"]
    sync_customer(
        stripe_customer_id=alice.stripe_customer.stripe_customer_id,
        clock=now,
        touched=[("payment_method", card)],
    )
    stripe_world.faults.add("*", "reset_before")

    told = user.get(URL).json()
    assert ([one["last4"] for one in told["data"]], told["live"]) == (["4242"], False)
    refused = user.post(URL, {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (503, "stripe_unavailable")


def test_a_card_that_the_bank_declines_is_not_added(user):
    wish = {"payment_method_id": "pm_card_chargeDeclined"}
    assert user.post(URL, wish, format="json").status_code == 422
    assert len(cards(user)) == 1
