"""A consumer's usage starts anew with the periods of what they pay for."""

from datetime import timedelta

import pytest

from billing import gateway
from billing.models import StripeCustomer
from metering.models import Cycle
from tests.billing.conftest import sell
from tests.billing.subscribers import follow, subscribe
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def cycle_of(consumer):
    row = Cycle.objects.filter(consumer=consumer).first()
    return row and (row.anchor, row.interval, row.interval_count)


def test_a_subscription_hands_its_cycle_down(alice, pro_monthly, clock):
    subscribe(alice, pro_monthly, clock)

    assert cycle_of(alice) == (NOON, "month", 1)


def test_in_a_trial_usage_starts_anew_when_it_ends(alice, pro_monthly, clock):
    subscribe(alice, pro_monthly, clock, trial_period_days=7)

    assert cycle_of(alice) == (NOON + timedelta(days=7), "month", 1)


def test_a_subscription_that_has_ended_leaves_calendar_months(alice, pro_monthly, clock):
    row = subscribe(alice, pro_monthly, clock)
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    gateway.write(path, {}, idempotency_key="t:end", method="delete")

    follow(StripeCustomer.objects.get(), clock)

    assert cycle_of(alice) is None


def test_one_that_is_to_end_counts_until_then(alice, pro_monthly, clock):
    subscribe(alice, pro_monthly, clock, cancel_at_period_end=True)

    assert cycle_of(alice) == (NOON, "month", 1)


def test_of_several_subscriptions_the_best_plan_counts(alice, journal, pro_monthly, clock):
    from entitlements.models import Plan

    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=30)
    yearly = sell(plan, clock.sandbox, amount_minor=9900, interval="year")
    subscribe(alice, pro_monthly, clock)
    clock.advance(days=1)
    params = {"customer": StripeCustomer.objects.get().stripe_customer_id}
    params["items"] = [{"price": yearly.stripe_price_id}]
    gateway.write("/v1/subscriptions", params, idempotency_key="t:second")

    follow(StripeCustomer.objects.get(), clock)

    assert cycle_of(alice) == (NOON + timedelta(days=1), "year", 1)
