"""Upgrades, quantities, pauses with a date, own prices and usage, by apps and users."""

import pytest
from rest_framework.test import APIClient

from billing.models import Operation, Price, PriceOverride
from config.clock import now
from entitlements.models import Plan
from keystore.models import AuditEntry
from keystore.services import issue_key
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.conftest import sell
from tests.billing.subscribers import at_stripe, give_card, invoices_of, subscribe
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subscription(alice, pro_monthly):
    return subscribe(alice, pro_monthly, now)


@pytest.fixture
def team_monthly(journal, stripe_world):  # noqa: F811
    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=40)
    return sell(plan, stripe_world, amount_minor=4999)


def put(client, subscription, act, **body):
    url = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}/{act}"
    return client.put(url, body, format="json")


def test_an_upgrade_without_a_preview_charges_what_it_costs_now(api, subscription, team_monthly):
    told = put(api, subscription, "upgrade", plan="team").json()

    assert (told["plan"], told["done"], told["price"]["amount_minor"]) == ("team", True, 4999)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 3500)
    again = put(api, subscription, "upgrade", plan="team")
    assert (again.status_code, again.json()["code"]) == (409, "already_so")


def test_a_declined_upgrade_leaves_the_old_plan(api, alice, subscription, team_monthly):
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")

    answer = put(api, subscription, "upgrade", plan="team")

    assert (answer.status_code, answer.json()["code"]) == (422, "stripe_refused")
    assert at_stripe(subscription)["items"]["data"][0]["price"]["unit_amount"] == 1499
    assert len(invoices_of(subscription)) == 1


def test_more_seats_are_previewed_and_charged(api, subscription):
    url = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}/preview"
    shown = api.post(url, {"quantity": 3}, format="json").json()
    assert (shown["due_now_minor"], shown["next_minor"]) == (2998, 4497)
    seen = {"priced_at": shown["priced_at"], "due_now_minor": shown["due_now_minor"]}

    told = put(api, subscription, "quantity", quantity=3, **seen).json()

    assert (told["quantity"], told["next_charge"]["amount_minor"]) == (3, 4497)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 2998)


def test_users_change_their_own_and_nobody_elses(journal, alice, bob, subscription):
    accept_tokens(journal)
    own, other = user_client("alice", journal), user_client("bob", journal)

    for act in ("cancel", "uncancel", "pause", "resume", "upgrade", "quantity"):
        body = {"plan": "pro", "quantity": 2}
        assert put(other, subscription, act, **body).json()["code"] == "subscription_not_found"
    url = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}"
    assert [other.get(f"{url}{end}").status_code for end in ("", "/usage", "/schedule")] == [
        404
    ] * 3
    assert other.delete(f"{url}/schedule").status_code == 404
    assert not Operation.objects.filter(subject=subscription.stripe_subscription_id).exists()
    assert put(own, subscription, "cancel").json()["cancel_at_period_end"] is True
    assert AuditEntry.objects.get(act="subscription.cancel_at_period_end").actor == (
        f"user:{alice.public_id}"
    )


def test_reading_needs_no_more_than_its_scope(journal, backend, subscription):
    key = issue_key(
        project=journal, owner=backend, scopes=("subscriptions:read",), actor="system", at=NOON
    )
    reader = APIClient()
    reader.credentials(HTTP_X_API_KEY=key.plaintext)

    assert reader.get("/api/v1/subscriptions").status_code == 200
    assert put(reader, subscription, "cancel").json()["code"] == "insufficient_scope"
    assert reader.post("/api/v1/subscriptions", {}).json()["code"] == "insufficient_scope"
    assert reader.get("/api/v1/price-overrides").json()["code"] == "insufficient_scope"


def test_an_agreed_price_is_used_for_this_user_alone(api, alice, bob, subscription, team_monthly):
    wish = {"user_id": "alice", "plan": "team", "amount_minor": 2499, "reason": "Contract 17"}
    made = api.put("/api/v1/price-overrides", wish, format="json").json()
    assert made["price_id"] == Price.objects.get(only_for=alice).stripe_price_id

    told = put(api, subscription, "upgrade", plan="team").json()
    assert (told["price"]["amount_minor"], told["price"]["own"]) == (2499, True)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1000)
    other = api.post("/api/v1/subscriptions", {"user_id": "bob", "plan": "team"}, format="json")
    assert other.json()["price_id"] == team_monthly.stripe_price_id
    entry = AuditEntry.objects.get(act="price_override.set")
    assert (entry.reason, entry.after["amount_minor"]) == ("Contract 17", 2499)


def test_an_agreed_price_ends_for_what_comes(api, alice, pro_monthly):
    wish = {"user_id": "alice", "plan": "pro", "amount_minor": 999, "reason": "Friend"}
    made = api.put("/api/v1/price-overrides", wish, format="json").json()
    api.put("/api/v1/price-overrides", {**wish, "amount_minor": 899}, format="json")
    assert PriceOverride.objects.filter(ended_at=None).count() == 1

    for each in api.get("/api/v1/price-overrides?user_id=alice").json()["data"]:
        api.delete(f"/api/v1/price-overrides/{each['id']}")

    sold = api.post("/api/v1/subscriptions", {"user_id": "alice", "plan": "pro"}, format="json")
    assert sold.json()["price_id"] == pro_monthly.stripe_price_id != made["price_id"]


def test_usage_of_the_period_has_limit_and_cost(api, subscription, journal, pro):
    from datetime import timedelta

    from billing.models import Subscription
    from entitlements.models import Feature, PlanFeature
    from entitlements.services import refresh_plan_answers

    feature = Feature.objects.create(project=journal, code="calls", kind="limit")
    PlanFeature.objects.create(plan=pro, feature=feature, limit=100)
    meter = journal.meters.create(code="calls", feature=feature)
    terms = {
        "meter": "calls",
        "unit_amount": "0.5",
        "tiers_mode": "",
        "tiers": [],
        "divide_by": 1,
        "round": "up",
    }
    price = Price.objects.create(
        project=journal, plan=pro, stripe_price_id="price_calls", kind="metered",
        amount_minor=0, currency="usd", interval="month", meter=meter, usage_terms=terms,
    )  # fmt: skip
    refresh_plan_answers(plan=pro, at=now())
    items = [*subscription.items, {"price_id": price.stripe_price_id, "quantity": 0}]
    Subscription.objects.update(items=items, current_period_start=now() - timedelta(hours=2))
    event = {"id": "e1", "meter": "calls", "user_id": "alice", "quantity": 30}
    assert api.post("/api/v1/usage/events", event, format="json").status_code < 300

    url = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}/usage"
    told = api.get(url).json()
    line = next(one for one in told["meters"] if one["meter"] == "calls")
    assert (line["used"], line["limit"], line["cost_minor"], told["cost_minor"]) == (
        30,
        100,
        15,
        15,
    )


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("upgrade", {}),
        ("upgrade", {"plan": "nowhere"}),
        ("upgrade", {"plan": "pro", "priced_at": 5}),
        ("quantity", {}),
        ("quantity", {"quantity": 0}),
        ("pause", {"resumes_at": "2020-01-01T00:00:00Z"}),
        ("pause", {"resumes_at": "tomorrow"}),
        ("schedule", {"plan": "pro", "at": "2020-01-01T00:00:00Z"}),
    ],
)
def test_what_makes_no_sense_is_refused(api, subscription, act, body):
    assert put(api, subscription, act, **body).status_code in (400, 404)
    assert not Operation.objects.filter(subject=subscription.stripe_subscription_id).exists()
