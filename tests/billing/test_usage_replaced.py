"""Usage that cannot be added up reaches Stripe as what the period has come to so far."""

from datetime import timedelta

import pytest

from billing import usage_compare, usage_reports, usage_sending
from billing.models import UsageReport
from metering.models import UsageDistinct, UsageTotal
from metering.services import set_cycle
from tests.billing.usage_cast import HOUR, at_stripe, count, customer, link_meter, report, states
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)
PERIOD = NOON - 5 * HOUR + timedelta(minutes=20)  # in the middle of an hour


@pytest.fixture
def later(clock):
    """The hour after NOON is over."""
    clock.advance(hours=1, minutes=3)
    return clock


def linked(journal, alice, aggregation):
    link = link_meter(journal, code=aggregation, aggregation=aggregation, formula="last")
    set_cycle(consumer=alice, anchor=PERIOD, interval="month", interval_count=1)
    return link, customer(alice)


def peak(alice, link, value, *, hours_ago=0):
    bucket = NOON - hours_ago * HOUR
    count(alice, link, 1, bucket=bucket)
    rows = UsageTotal.objects.filter(consumer=alice, meter=link.meter, bucket=bucket)
    rows.update(maximum=value)


def saw(alice, link, *values, hours_ago=0):
    bucket = NOON - hours_ago * HOUR
    count(alice, link, len(values), bucket=bucket)
    for value in values:
        UsageDistinct.objects.create(
            project=alice.project, meter=link.meter, consumer=alice, bucket=bucket, value=value
        )


def billed(link, buyer):
    """What an invoice of the whole time would take: the last value."""
    return at_stripe(link, buyer, start=NOON - 10 * HOUR, hours=11)


def test_maximum_of_the_period_is_told_whatever_the_last_hour_had(journal, alice, later):
    link, buyer = linked(journal, alice, "max")
    peak(alice, link, 9, hours_ago=2)
    peak(alice, link, 4)

    report(later)
    report(later)

    assert [(quantity, state) for _, quantity, state in states()] == [(9, "done"), (9, "done")]
    assert billed(link, buyer) == 9


def test_new_period_begins_at_its_own_maximum(journal, alice, later):
    link, _ = linked(journal, alice, "max")
    peak(alice, link, 9, hours_ago=6)  # the period before
    peak(alice, link, 4, hours_ago=5)  # the hour in which the new one begins

    usage_reports.plan_reports(clock=later, back=10 * HOUR)
    usage_sending.send_due(clock=later)

    assert [quantity for _, quantity, _ in states()] == [9, 4]


def test_maximum_that_was_voided_is_told_anew(journal, alice, later):
    link, buyer = linked(journal, alice, "max")
    peak(alice, link, 9, hours_ago=1)
    peak(alice, link, 4)
    report(later)

    UsageTotal.objects.filter(maximum=9).update(maximum=None)
    report(later)

    assert [quantity for _, quantity, _ in states()] == [9, 0, 9, 4]
    assert billed(link, buyer) == 4


def test_distinct_values_of_the_period_are_counted_once(journal, alice, later):
    link, buyer = linked(journal, alice, "unique")
    saw(alice, link, "ada", "bob", hours_ago=2)
    saw(alice, link, "bob", "cyd")

    report(later)

    assert [quantity for _, quantity, _ in states()] == [2, 3]
    assert billed(link, buyer) == 3


def test_value_that_is_too_late_for_its_invoice_is_not_billed_in_another(journal, alice, later):
    link, buyer = linked(journal, alice, "max")
    peak(alice, link, 4)
    report(later)
    later.advance(days=34, hours=12)
    peak(alice, link, 9, hours_ago=2)
    usage_reports.plan_reports(clock=later, back=usage_reports.ALL)

    usage_sending.send_due(clock=later)

    late = UsageReport.objects.order_by("bucket").first()
    assert (late.state, late.quantity, late.stamped_at) == ("done", 0, None)
    assert "Too late" in late.error
    assert usage_reports.plan_reports(clock=later, back=usage_reports.ALL) == 0
    assert billed(link, buyer) == 4


def test_days_that_are_over_agree_with_stripe(journal, alice, later):
    link, _ = linked(journal, alice, "unique")
    saw(alice, link, "ada", "bob", hours_ago=1)
    saw(alice, link, "bob", "cyd")
    report(later)
    later.advance(days=1)

    assert usage_compare.compare_usage(clock=later) == 0
    assert not UsageReport.objects.filter(compared_at=None).exists()
