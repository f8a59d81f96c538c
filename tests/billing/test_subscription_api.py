"""Apps change subscriptions of their own project, for what they were shown."""

import pytest
from rest_framework.test import APIClient

from config.clock import now
from entitlements.models import Plan
from keystore.services import issue_key
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.conftest import sell
from tests.billing.subscribers import at_stripe, invoices_of, subscribe
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subscription(alice, pro_monthly):
    return subscribe(alice, pro_monthly, now)


@pytest.fixture
def team_monthly(journal, stripe_world):  # noqa: F811
    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=40)
    return sell(plan, stripe_world, amount_minor=4999)


def post(client, subscription, act, **body):
    url = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}/{act}"
    return client.post(url, body, format="json")


def test_a_change_costs_what_the_preview_told(api, subscription, team_monthly):
    shown = post(api, subscription, "preview", plan="team").json()
    assert (shown["due_now_minor"], shown["next_minor"], shown["currency"]) == (3500, 4999, "usd")

    seen = {"priced_at": shown["priced_at"], "due_now_minor": shown["due_now_minor"]}
    done = post(api, subscription, "change", plan="team", **seen)

    assert (done.status_code, done.json()["plan"], done.json()["done"]) == (200, "team", True)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 3500)


def test_another_price_than_the_one_seen_is_409(api, subscription, team_monthly):
    seen = {"priced_at": int(now().timestamp()) - 5, "due_now_minor": 1}

    answer = post(api, subscription, "change", plan="team", **seen)

    assert (answer.status_code, answer.json()["code"]) == (409, "preview_outdated")
    assert len(invoices_of(subscription)) == 1


def test_cancel_uncancel_pause_and_resume(api, subscription):
    assert post(api, subscription, "cancel").json()["cancel_at"] is not None
    assert post(api, subscription, "uncancel").json()["cancel_at"] is None
    assert post(api, subscription, "pause").json()["paused"] is True
    shown = post(api, subscription, "preview", resume=True).json()
    seen = {"priced_at": shown["priced_at"], "due_now_minor": shown["due_now_minor"]}
    assert post(api, subscription, "resume", **seen).json()["paused"] is False
    ended = post(api, subscription, "cancel", at_period_end=False).json()
    assert ended["status"] == at_stripe(subscription)["status"] == "canceled"


def test_a_lost_answer_is_202(api, subscription, stripe_world):  # noqa: F811
    stripe_world.faults.add("POST /v1/subscriptions/*", "reset_after", times=1)

    answer = post(api, subscription, "pause")

    assert (answer.status_code, answer.json()["done"]) == (202, False)


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("preview", {}),
        ("preview", {"plan": "team", "resume": True}),
        ("change", {"plan": "team"}),
        ("change", {"priced_at": 1, "due_now_minor": 1}),
        ("change", {"plan": "team", "priced_at": 2**40, "due_now_minor": 1}),
        ("resume", {"priced_at": 1}),
        ("cancel", {"at_period_end": "perhaps"}),
    ],
)
def test_what_makes_no_sense_is_400(api, subscription, act, body):
    assert post(api, subscription, act, **body).status_code == 400


def test_another_project_sees_no_subscription_and_a_scope_is_needed(
    orbit, journal, backend, subscription
):
    foreign, weak = APIClient(), APIClient()
    app = orbit.apps.create(name="x")
    for client, project, owner, scopes in (
        (foreign, orbit, app, ("*",)),
        (weak, journal, backend, ("keys:write",)),
    ):
        key = issue_key(project=project, owner=owner, scopes=scopes, actor="system", at=NOON)
        client.credentials(HTTP_X_API_KEY=key.plaintext)

    assert post(foreign, subscription, "pause").json()["code"] == "subscription_not_found"
    assert post(weak, subscription, "pause").json()["code"] == "insufficient_scope"
    assert at_stripe(subscription)["pause_collection"] is None
