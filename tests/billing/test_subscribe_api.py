"""Apps and users subscribe, with Stripe's page or with a saved card."""

from urllib.parse import urlsplit

import pytest

from billing.models import Checkout, CheckoutState, Operation, Subscription, TrialUse
from config.clock import now
from entitlements.models import Grant
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.subscribers import at_stripe, follow, give_card, subscribe
from tests.keystore.tokens_cast import accept_tokens, user_client
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/subscriptions"


@pytest.fixture
def holder(alice, pro_monthly):
    from billing.customers import ensure_customer

    return ensure_customer(consumer=alice, actor="system", at=now())


@pytest.fixture
def visa(holder):
    return give_card(holder, "pm_card_visa")


@pytest.fixture
def challenged(holder):
    """A card whose bank asks for a confirmation each time."""
    return give_card(holder, "pm_card_authenticationRequired")


def post(client, **body):
    return client.post(URL, body, format="json")


def buy(client, card="default", **more):
    wish = {"user_id": "alice", "plan": "pro", "payment_method": card, **more}
    return client.post(URL, wish, format="json")


def test_without_a_card_it_answers_the_page_to_pay_on(api, pro_monthly):
    told = post(api, user_id="alice", plan="pro").json()

    assert told["checkout_url"] == told["url"] == Checkout.objects.get().session_url
    assert (told["id"], told["next_step"]["code"]) == (None, "pay_at_checkout")


def test_a_saved_card_is_charged_at_once(api, alice, visa):
    told = buy(api).json()

    assert (told["status"], told["next_step"]["code"]) == ("active", "none")
    assert told["subscription"]["next"]["code"] == "renews"
    assert at_stripe(Subscription.objects.get())["default_payment_method"] == visa
    assert Checkout.objects.get().state == CheckoutState.COMPLETE
    assert Grant.objects.filter(consumer=alice).live(now()).exists()


def test_a_user_subscribes_by_their_token(journal, alice, visa):
    accept_tokens(journal)
    ada = user_client("alice", journal)

    told = post(ada, plan="pro", payment_method=visa).json()

    assert (told["user_id"], told["status"]) == ("alice", "active")
    assert [one["id"] for one in ada.get(URL).json()["data"]] == [told["id"]]


def test_a_challenge_leaves_it_incomplete_until_it_is_met(api, alice, challenged, stripe_world):  # noqa: F811
    told = buy(api, challenged).json()
    assert (told["status"], told["next_step"]["code"]) == ("incomplete", "confirm_payment")
    assert told["client_secret"].startswith("pi_")
    assert told["confirmation_url"].startswith("http")
    assert not Grant.objects.filter(consumer=alice).exists()

    page = urlsplit(f"/pages/authenticate/{told['client_secret'].split('_secret')[0]}").path
    stripe_world.open_page("POST", page, query={}, form={"result": "complete"})
    follow(alice.stripe_customer, now)

    assert Subscription.objects.get().status == "active"
    assert Checkout.objects.get().state == CheckoutState.COMPLETE


def test_an_abandoned_challenge_expires_without_access(api, alice, challenged, stripe_world):  # noqa: F811
    from datetime import timedelta

    buy(api, challenged)
    stripe_world.advance(timedelta(hours=24))
    follow(alice.stripe_customer, now)

    assert Subscription.objects.get().status == "incomplete_expired"
    assert Checkout.objects.get().state == CheckoutState.EXPIRED
    assert not Grant.objects.filter(consumer=alice).exists()
    # and the way is free again
    assert post(api, user_id="alice", plan="pro").json()["state"] == "open"


def test_a_declined_card_says_what_to_do_and_another_one_takes_its_place(api, holder, visa):
    bad = give_card(holder, "pm_card_chargeCustomerFail", default=False)

    told = buy(api, bad).json()
    assert (told["status"], told["next_step"]["code"]) == ("incomplete", "pay_otherwise")

    again = buy(api, visa).json()
    assert again["status"] == "active"
    statuses = Subscription.objects.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == ["incomplete_expired", "active"]


def test_somebody_elses_card_is_404_and_nothing_is_made(api, bob, pro_monthly, visa):
    from billing.customers import ensure_customer

    ensure_customer(consumer=bob, actor="system", at=now())
    before = Operation.objects.count()
    answer = buy(api, visa, user_id="bob")

    assert (answer.status_code, answer.json()["code"]) == (404, "card_not_found")
    assert (Operation.objects.count(), Checkout.objects.count()) == (before, 0)


def test_a_second_one_is_409_with_what_to_do(api, visa):
    buy(api)

    answer = buy(api)

    assert (answer.status_code, answer.json()["code"]) == (409, "already_subscribed")
    assert "/upgrade" in answer.json()["detail"]


def test_a_double_click_charges_once(api, visa, stripe_world):  # noqa: F811
    answers = at_once(lambda: buy(api), times=2)

    assert {one.status_code for one in answers} <= {200, 202, 409}
    assert stripe_world.executions(route="POST /v1/subscriptions") == 1


def test_a_lost_answer_is_found_again_and_charged_once(api, visa, stripe_world):  # noqa: F811
    from datetime import timedelta

    from billing.operations import settle_due

    stripe_world.faults.add("POST /v1/subscriptions", "reset_after", times=1)
    assert buy(api).status_code == 202

    settle_due(at=now() + timedelta(minutes=10))

    assert stripe_world.executions(route="POST /v1/subscriptions") == 1
    assert buy(api).json()["status"] == "active"


def test_stripe_down_is_503_and_reads_go_on(api, alice, pro_monthly, stripe_world):  # noqa: F811
    row = subscribe(alice, pro_monthly, now)
    stripe_world.faults.add("*", "reset_before")

    answer = buy(api, "default", plan="pro", user_id="alice")

    assert (answer.status_code, answer.json()["code"]) == (503, "stripe_unavailable")
    shown = api.get(f"{URL}/{row.stripe_subscription_id}").json()
    assert (shown["plan"], shown["price"]["amount_minor"]) == ("pro", 1499)
    assert shown["next_charge"]["amount_minor"] == 1499


def test_a_trial_is_had_once_per_plan(api, alice, pro_monthly, visa):
    pro_monthly.trial_days = 14
    pro_monthly.save(update_fields=["trial_days"])

    told = buy(api).json()
    assert (told["status"], told["trial_days"]) == ("trialing", 14)
    assert TrialUse.objects.get().began_at is not None
    api.put(f"{URL}/{told['id']}/cancel", {"at_period_end": False}, format="json")

    assert buy(api).json()["trial_days"] == 0


def test_the_list_is_filtered_and_paged(api, alice, bob, pro_monthly):
    first, second = (subscribe(one, pro_monthly, now) for one in (alice, bob))

    page = api.get(f"{URL}?limit=1").json()
    rest = api.get(f"{URL}?limit=1&cursor={page['next_cursor']}").json()
    ids = [one["id"] for one in (*page["data"], *rest["data"])]

    assert ids == [second.stripe_subscription_id, first.stripe_subscription_id]
    assert [one["user_id"] for one in api.get(f"{URL}?user_id=bob").json()["data"]] == ["bob"]
    assert api.get(f"{URL}?status=canceled").json()["data"] == []
    assert len(api.get(f"{URL}?status=live").json()["data"]) == 2
    assert api.get(f"{URL}?user_id=nobody").json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"plan": "pro"},
        {"user_id": "alice"},
        {"user_id": "alice", "plan": "pro", "price_id": "price_1"},
        {"user_id": "alice", "plan": "pro", "quantity": 0},
        {"user_id": "alice", "plan": "pro", "success_url": "https://evil.example"},
    ],
)
def test_what_makes_no_sense_is_400(api, pro_monthly, body):
    assert post(api, **body).status_code == 400
    assert not Checkout.objects.exists()
