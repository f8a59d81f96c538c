"""Which invoice bills an hour of usage."""

from datetime import timedelta

import pytest

from billing.usage_stamps import Lifetime, stamp_of
from tests.conftest import NOON

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
END = NOON + HOUR - SECOND
MONTH = timedelta(days=31)


def stamp(*lifetimes, at=NOON + HOUR + timedelta(minutes=2), bucket=NOON):
    return stamp_of(bucket=bucket, lifetimes=lifetimes, at=at)


def running(started, period):
    return Lifetime(started, period, None)


def test_an_hour_counts_under_its_last_second():
    assert stamp() == END
    assert stamp(running(NOON - MONTH, NOON - MONTH)) == END


def test_an_hour_in_which_a_period_begins_belongs_to_the_new_one():
    begins = NOON + timedelta(minutes=20)

    assert stamp(running(NOON - MONTH, begins)) == END > begins


@pytest.mark.parametrize(("minutes", "in_time"), [(49, True), (51, False)])
def test_what_is_told_after_the_invoice_is_final_has_no_instant(minutes, in_time):
    period = NOON + HOUR
    at = period + timedelta(minutes=minutes)

    assert stamp(running(NOON - MONTH, period), at=at) == (END if in_time else None)


def test_usage_of_before_the_subscription_keeps_its_time():
    begun = NOON + 3 * HOUR

    assert stamp(running(begun, begun), at=begun + 2 * HOUR) == END


def test_the_hour_of_the_end_belongs_to_the_last_invoice():
    ended = NOON + timedelta(minutes=20)
    over = Lifetime(NOON - MONTH, NOON - MONTH, ended)

    assert stamp(over) == ended - SECOND
    assert stamp(over, running(NOON - MONTH, NOON - MONTH)) == END


def test_what_stripe_would_refuse_as_too_old_has_no_instant():
    assert stamp(at=NOON + timedelta(days=35)) is None
