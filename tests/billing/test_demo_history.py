"""The demo's past: buyers who came, stayed, left and disputed over a quarter of a year."""

from datetime import timedelta

import pytest

from billing.demo import build_demo
from billing.demo_history import BUYERS, NoPast, live_through_the_past
from billing.demo_logins import Logins
from billing.figures import Days, movement_of, revenue_by_day
from billing.models import Payment, Subscription
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)
QUARTER = Days((NOON - timedelta(days=90)).date(), NOON.date())


@pytest.fixture
def project(stripe_world, clock, tmp_path):
    return build_demo(logins=Logins(tmp_path / "demo-logins.env"), clock=clock).project


def test_buyers_come_pay_every_month_and_leave(project, clock):
    assert live_through_the_past(project=project, clock=clock) == len(BUYERS)

    mary = Payment.objects.filter(consumer__external_id="mary").order_by("created_at")
    assert [(NOON - payment.created_at).days for payment in mary] == [
        88,
        56,
        25,
    ]  # an hour after each month
    carl = Subscription.objects.get(consumer__external_id="carl")
    assert (carl.status, (NOON - carl.ended_at).days) == ("canceled", 20)
    assert Payment.objects.get(consumer__external_id="vera").captured_minor == 1499
    assert Payment.objects.filter(consumer__external_id="otto", disputed=True).exists()
    moved = movement_of(project=project, days=QUARTER)
    assert moved.lost == 3 + 1  # gina leaves on the day she comes
    (usd,) = revenue_by_day(project=project, days=QUARTER)
    assert sum(1 for day in usd.days if day.gross_minor) > 10


def test_a_second_time_nobody_is_added(project, clock, stripe_world):
    live_through_the_past(project=project, clock=clock)
    sent = stripe_world.counters.snapshot()["operations"]

    assert live_through_the_past(project=project, clock=clock) == 0
    assert stripe_world.counters.snapshot()["operations"] == sent


def test_a_real_stripe_has_no_past_to_make_up(project, clock, settings):
    settings.STRIPE_USES_SANDBOX = False

    with pytest.raises(NoPast):
        live_through_the_past(project=project, clock=clock)
