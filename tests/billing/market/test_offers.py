"""What creators do at Stripe: onboarding, and plans whose price Stripe makes."""

from urllib.parse import urlsplit

import pytest

from billing import catalog
from billing.catalog_tables import read_project
from billing.inbox import work_due
from billing.models import Creator, Operation, Price
from billing.operations import settle_due
from billing.receipt import keep

pytestmark = pytest.mark.django_db(transaction=True)
OFFER = {
    "code": "weather-pro",
    "name": "Pro",
    "kind": "subscription",
    "currency": "usd",
    "amount_minor": 1000,
}
URLS = {"return_url": "https://app.example.com/ok", "refresh_url": "https://app.example.com/re"}


def offer(api, **more):
    return api.post("/api/v1/apis/weather/plans", {**OFFER, **more}, format="json")


def test_onboarding_makes_one_account_and_its_event_opens_payouts(api, creator, clock):
    path = f"/api/v1/creators/{creator.public_id}/onboarding"
    clock.sandbox.faults.add("POST /v1/accounts", "reset_after", times=1)
    assert api.post(path, URLS, format="json").status_code == 503
    Operation.objects.update(next_attempt_at=clock())
    settle_due(at=clock())

    link = api.post(path, URLS, format="json").json()["url"]
    clock.sandbox.open_page("POST", urlsplit(link).path, query={}, form={"act": "complete"})
    for event in clock.sandbox.store.all("event"):
        keep(event=event, at=clock())
    work_due(clock=clock)

    creator.refresh_from_db()
    assert (creator.state, creator.payouts_enabled) == ("active", True)
    assert clock.sandbox.executions(route="POST /v1/accounts") == 1


def test_a_plan_is_sold_at_the_price_that_stripe_made(api, weather, clock):
    answer = offer(api)

    [price] = Price.objects.filter(plan__api=weather)
    assert answer.status_code == 201
    assert answer.json()["prices"][0]["id"] == price.stripe_price_id
    assert (price.amount_minor, price.interval, price.kind) == (1000, "month", "recurring")


def test_a_price_that_stripe_did_not_answer_for_follows_by_itself(api, weather, clock):
    clock.sandbox.faults.add("POST /v1/prices", "reset_after", times=1)
    assert offer(api).status_code == 202

    Operation.objects.update(next_attempt_at=clock())
    settle_due(at=clock())

    assert Price.objects.get(plan__api=weather).amount_minor == 1000
    assert clock.sandbox.executions(route="POST /v1/prices") == 1


def test_the_catalogue_file_leaves_a_creators_plan_on_sale(api, journal, weather, clock):
    offer(api)
    spec = read_project(journal)
    assert spec.plans == ()

    catalog.push(project=spec, actor="system", clock=clock)

    assert Price.objects.get(plan__api=weather).active
    assert catalog.diff(project=spec) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "free"},
        {"amount_minor": 0},
        {"kind": "pay_per_use", "amount_minor": 0},
        {"kind": "pay_per_use", "amount_minor": 0, "unit_amount": "0.5", "meter": "none"},
        {"kind": "tiers", "amount_minor": 0, "tiers": [{"up_to": 5, "unit_amount": "1"}]},
    ],
)
def test_an_odd_offer_makes_nothing(api, weather, clock, wrong):
    assert offer(api, **wrong).status_code == 400
    assert not weather.plans.exists()


def test_a_taken_code_makes_no_second_plan(api, weather, clock):
    offer(api)

    assert offer(api).json()["code"] == "plan_code_taken"
    assert Price.objects.count() == 1


def test_a_creator_offers_tiers_of_a_meter(api, journal, weather, clock):
    from billing.catalog_meters import link_meters
    from billing.catalog_stripe import read_stripe
    from billing.gateway import write
    from metering.models import Meter

    Meter.objects.create(project=journal, code="calls", stripe_event_name="calls")
    params = {"display_name": "Calls", "event_name": "calls"}
    params["default_aggregation"] = {"formula": "sum"}
    write("/v1/billing/meters", params, idempotency_key="test:meter")
    link_meters(journal, read_stripe())
    tiers = [{"up_to": 100, "unit_amount": "1"}, {"up_to": None, "unit_amount": "0.5"}]

    answer = offer(api, kind="tiers", amount_minor=0, meter="calls", tiers=tiers)

    assert answer.status_code == 201
    assert Price.objects.get().usage_terms["tiers_mode"] == "graduated"
    assert Creator.objects.get().listings.count() == 1
