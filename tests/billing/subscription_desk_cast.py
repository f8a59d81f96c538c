"""A subscription, and what staff do with it."""

import pytest
from django.db import connections

from billing.subscription_desk import (
    Seen,
    change_plan,
)
from billing.subscriptions import (
    preview_plan_change,
)
from entitlements.models import Feature, Grant, Plan, PlanFeature
from tests.billing.conftest import sell
from tests.billing.subscribers import subscribe

UPDATE = "POST /v1/subscriptions/*"


UPDATE_ROUTE = "POST /v1/subscriptions/{subscription_exposed_id}"


HALF_OF_MARCH = {"days": 15, "hours": 12}


@pytest.fixture
def subscription(alice, pro_monthly, clock):
    """Alice pays 14.99 USD a month for pro, since NOON on 1 March."""
    return subscribe(alice, pro_monthly, clock)


@pytest.fixture
def team(journal):
    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=40)
    feature = Feature.objects.create(project=journal, code="team")
    PlanFeature.objects.create(plan=plan, feature=feature)
    return plan


@pytest.fixture
def team_monthly(team, stripe_world):
    """49.99 USD a month."""
    return sell(team, stripe_world, amount_minor=4999)


def do(act, subscription, clock, **more):
    return act(subscription=subscription, actor="staff:sam", reason="asked", clock=clock, **more)


def change(subscription, price, clock, *, prorate=True):
    preview = preview_plan_change(
        subscription=subscription, price=price, prorate=prorate, at=clock()
    )
    seen = Seen(preview.at, preview.due_now_minor)
    done = do(change_plan, subscription, clock, price=price, prorate=prorate, seen=seen)
    return preview, done


def open_plans(consumer, at):
    live = Grant.objects.filter(consumer=consumer).live(at)
    return sorted(live.values_list("plan__code", flat=True))


def executions(stripe_world):
    return stripe_world.executions(route=UPDATE_ROUTE)


def in_a_thread(act, *given, **named):
    try:
        return act(*given, **named)
    finally:
        connections.close_all()
