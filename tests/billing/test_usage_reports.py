"""Counted usage reaches Stripe once, whatever becomes of the calls."""

from datetime import timedelta

import pytest

from billing import gateway, usage_reports, usage_sending
from billing.models import UsageReport
from config.errors import Conflict, InvalidInput
from keystore.models import AuditEntry
from tests.billing.usage_cast import (
    HOUR,
    at_stripe,
    count,
    customer,
    link_meter,
    report,
    roll_up_to,
    states,
)
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = "POST /v1/billing/meter_events"


@pytest.fixture
def link(journal, stripe_world):
    return link_meter(journal)


@pytest.fixture
def buyer(alice, link):
    return customer(alice)


@pytest.fixture
def later(clock):
    """The hour after NOON is over."""
    clock.advance(hours=1, minutes=3)
    return clock


def test_a_closed_hour_becomes_one_event(alice, link, buyer, later, stripe_world):
    count(alice, link, 5)
    count(alice, link, 7)

    report(later)
    report(later)

    assert (at_stripe(link, buyer), states()) == (12, [("event", 12, "done")])
    row = UsageReport.objects.get()
    assert row.identifier == f"{link.meter.public_id}-{alice.public_id}-{NOON:%Y%m%d%H}-1"
    assert row.stamped_at == NOON + HOUR - timedelta(seconds=1)


def test_an_hour_that_is_not_totalled_waits(alice, link, buyer, later):
    count(alice, link, 5, closed=False)
    roll_up_to(NOON + HOUR)  # events of its last second may still be on their way

    report(later)

    assert states() == []


def test_a_consumer_without_a_customer_waits_for_one(alice, link, later):
    count(alice, link, 5)
    report(later)
    assert states() == []

    buyer = customer(alice)
    report(later)

    assert at_stripe(link, buyer) == 5


def test_usage_that_comes_late_is_told_by_itself(alice, link, buyer, later):
    count(alice, link, 5)
    report(later)
    count(alice, link, 2)

    report(later)

    assert states() == [("event", 5, "done"), ("event", 2, "done")]
    assert at_stripe(link, buyer) == 7


def test_an_old_hour_that_changed_is_found_by_the_long_look(alice, link, buyer, later):
    later.advance(days=20)
    roll_up_to(later())
    count(alice, link, 2, closed=False)

    assert usage_reports.plan_reports(clock=later) == 0
    assert usage_reports.plan_reports(clock=later, back=usage_reports.ALL) == 1


def test_less_than_was_told_takes_the_event_back_and_tells_anew(alice, link, buyer, later):
    count(alice, link, 9)
    report(later)
    count(alice, link, -2)

    report(later)
    report(later)

    assert at_stripe(link, buyer) == 7
    assert states() == [("event", 9, "cancelled"), ("cancel", 0, "done"), ("event", 7, "done")]


def test_after_a_day_what_was_too_much_lowers_the_next_report(alice, link, buyer, later):
    count(alice, link, 9)
    report(later)
    later.advance(hours=24)
    count(alice, link, -4)
    roll_up_to(later())
    usage_reports.plan_reports(clock=later, back=usage_reports.ALL)
    count(alice, link, 10, bucket=NOON + 23 * HOUR)

    report(later)

    assert at_stripe(link, buyer, hours=25) == 15
    assert [quantity for _, quantity, _ in states()] == [9, 0, 6]


def test_a_correction_before_the_report_went_costs_no_call(alice, link, buyer, later, stripe_world):
    count(alice, link, 9)
    usage_reports.plan_reports(clock=later)
    count(alice, link, -2)

    report(later)
    report(later)

    assert at_stripe(link, buyer) == 7
    assert stripe_world.executions(route=EVENTS) == 1


def test_fractions_stay_over_until_they_are_a_unit(alice, link, buyer, later):
    for hour in range(3):
        count(alice, link, "1.4", bucket=NOON - hour * HOUR, closed=False)
    roll_up_to(later())

    report(later)

    assert sum(quantity for _, quantity, _ in states()) == 4  # of 4.2
    assert at_stripe(link, buyer, start=NOON - 2 * HOUR, hours=3) == 4


def test_a_latest_value_replaces_the_one_before(alice, journal, later):
    from metering.models import UsageTotal

    link = link_meter(journal, code="seats", aggregation="latest", formula="last")
    buyer = customer(alice)
    count(alice, link, 0)
    for value in (5, 3):
        UsageTotal.objects.update(latest=value, latest_at=NOON)
        report(later)

    assert [quantity for _, quantity, _ in states()] == [5, 3]
    assert at_stripe(link, buyer) == 3


@pytest.mark.parametrize("fault", ["reset_after", "server_error_after", "reset_before"])
def test_a_lost_answer_counts_once(alice, link, buyer, later, stripe_world, fault):
    count(alice, link, 5)
    stripe_world.faults.add(EVENTS, fault, times=1)
    report(later)
    assert states() == [("event", 5, "unknown")]

    later.advance(minutes=5)
    report(later)

    assert (at_stripe(link, buyer), states()) == (5, [("event", 5, "done")])


def test_a_process_that_died_after_the_call_is_gone_on_for(alice, link, buyer, later):
    count(alice, link, 5)
    usage_reports.plan_reports(clock=later)
    row = usage_sending._claim(UsageReport.objects.get().pk, later())
    usage_sending._call(row)

    assert report(later) == 0  # its lease holds
    later.advance(minutes=1)
    report(later)

    assert (at_stripe(link, buyer), states()) == (5, [("event", 5, "done")])


@pytest.mark.parametrize("arrived", [True, False])
def test_after_a_day_the_summary_says_whether_it_arrived(
    alice, link, buyer, later, stripe_world, arrived
):
    count(alice, link, 5)
    count(alice, link, 3, bucket=NOON - HOUR)
    stripe_world.faults.add(EVENTS, "reset_after" if arrived else "reset_before", times=1)
    report(later)
    later.advance(hours=25)

    for _ in range(3):
        report(later)

    assert at_stripe(link, buyer, start=NOON - HOUR, hours=2) == 8
    assert {state for _, _, state in states()} == {"done"}


def test_a_summary_that_explains_nothing_stops_the_report(alice, link, buyer, later, stripe_world):
    count(alice, link, 5)
    stripe_world.faults.add(EVENTS, "reset_before", times=1)
    report(later)
    payload = {"stripe_customer_id": buyer, "value": "1"}
    foreign = {"event_name": "calls", "payload": payload, "timestamp": int(NOON.timestamp())}
    gateway.write("/v1/billing/meter_events", foreign, idempotency_key="t:foreign")
    later.advance(hours=25)

    report(later)

    assert states() == [("event", 5, "failed")]
    assert at_stripe(link, buyer) == 1


def test_a_refused_report_is_sent_again_when_staff_say_so(alice, link, buyer, later):
    count(alice, link, 5)
    path = f"/v1/billing/meters/{link.stripe_meter_id}"
    gateway.write(f"{path}/deactivate", {}, idempotency_key="t:off")
    report(later)
    row = UsageReport.objects.get()
    assert (row.state, "No active meter" in row.error) == ("failed", True)
    gateway.write(f"{path}/reactivate", {}, idempotency_key="t:on")

    usage_reports.retry_report(report=row, actor="staff:sam", reason="back on", at=later())
    report(later)

    assert at_stripe(link, buyer) == 5
    assert AuditEntry.objects.filter(act="usage_report.retry", reason="back on").count() == 1
    with pytest.raises(Conflict):
        usage_reports.retry_report(report=row, actor="staff:sam", reason="again", at=later())
    with pytest.raises(InvalidInput):
        usage_reports.retry_report(report=row, actor="staff:sam", reason=" ", at=later())


def test_four_at_once_tell_it_once(alice, link, buyer, later, stripe_world):
    count(alice, link, 5)
    count(alice, link, 6, bucket=NOON - HOUR)

    at_once(lambda: report(later), times=4)
    report(later)

    assert at_stripe(link, buyer, start=NOON - HOUR, hours=2) == 11
    assert stripe_world.executions(route=EVENTS) == 2


def test_half_of_the_calls_failing_changes_no_sum(alice, link, buyer, later, stripe_world):
    stripe_world.faults.seed(7)
    for fault in ("reset_after", "reset_before", "server_error_after", "rate_limit"):
        stripe_world.faults.add("POST /v1/billing/*", fault, probability=0.16)
    told = 0
    for round in range(12):
        quantity = 3 if round % 4 == 3 else 5 + round
        count(alice, link, -quantity if round % 4 == 3 else quantity)
        told += -quantity if round % 4 == 3 else quantity
        report(later)
        later.advance(minutes=6)
    stripe_world.faults.clear()
    for _ in range(8):
        later.advance(minutes=6)
        report(later)

    assert at_stripe(link, buyer) == told
    assert {state for _, _, state in states()} <= {"done", "cancelled"}
