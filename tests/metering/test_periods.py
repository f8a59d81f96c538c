"""Periods tile time, whatever the anchor."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from entitlements.models import Reset
from metering.models import Cycle
from metering.periods import Period, billing_period, months_after, period_of

instants = some.integers(631152000, 3786912000).map(lambda s: datetime.fromtimestamp(s, UTC))
intervals = some.sampled_from(["day", "week", "month", "year"])
counts = some.integers(1, 36)


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(instants, instants, intervals, counts)
def test_every_instant_lies_in_its_period(anchor, at, interval, count):
    assert billing_period(anchor=anchor, interval=interval, count=count, at=at).contains(at)


@given(instants, instants, intervals, counts)
def test_the_next_period_starts_where_this_one_ends(anchor, at, interval, count):
    this = billing_period(anchor=anchor, interval=interval, count=count, at=at)
    following = billing_period(anchor=anchor, interval=interval, count=count, at=this.end)
    assert following.start == this.end
    just_before = this.start - timedelta(microseconds=1)
    before = billing_period(anchor=anchor, interval=interval, count=count, at=just_before)
    assert before.end == this.start


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ("2026-02-10", "2026-01-31", "2026-02-28"),
        ("2026-02-28", "2026-02-28", "2026-03-31"),
        ("2026-04-29", "2026-03-31", "2026-04-30"),
        ("2028-02-29", "2028-02-29", "2028-03-31"),
    ],
)
def test_month_that_began_on_the_31st_does_so_again(at, start, end):
    cycle = Cycle(anchor=moment("2026-01-31"), interval="month", interval_count=1)
    found = period_of(reset=Reset.BILLING_PERIOD, cycle=cycle, at=moment(at))
    assert found == Period(moment(start), moment(end))


def test_year_that_began_on_29_february_starts_on_the_28th_between_leap_years():
    assert months_after(moment("2028-02-29"), 12) == moment("2029-02-28")
    assert months_after(moment("2028-02-29"), 48) == moment("2032-02-29")


def test_consumer_without_a_cycle_has_calendar_months():
    found = period_of(reset=Reset.BILLING_PERIOD, cycle=None, at=moment("2026-12-31"))
    assert found == Period(moment("2026-12-01"), moment("2027-01-01"))


def test_what_never_starts_anew_holds_every_instant():
    found = period_of(reset=Reset.NEVER, cycle=None, at=moment("2026-12-31"))
    assert found.end is None
    assert found.contains(moment("2090-01-01"))
