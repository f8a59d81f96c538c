"""When a consumer's billing periods start."""

from datetime import timedelta

import pytest

from config.errors import InvalidInput
from metering.models import Cycle
from metering.services import clear_cycle, set_cycle
from tests.conftest import NOON


def test_cycle_is_set_and_set_again(alice):
    set_cycle(consumer=alice, anchor=NOON, interval="month")
    later = NOON + timedelta(days=3)
    set_cycle(consumer=alice, anchor=later, interval="year", interval_count=2)
    cycle = Cycle.objects.get()
    assert (cycle.anchor, cycle.interval, cycle.interval_count) == (later, "year", 2)


def test_same_cycle_writes_nothing(alice, django_assert_num_queries):
    set_cycle(consumer=alice, anchor=NOON, interval="month")
    with django_assert_num_queries(3):  # savepoint, read, release
        set_cycle(consumer=alice, anchor=NOON, interval="month")


@pytest.mark.parametrize("terms", [("fortnight", 1), ("month", 0)])
def test_cycle_that_is_none_is_refused(alice, terms):
    with pytest.raises(InvalidInput):
        set_cycle(consumer=alice, anchor=NOON, interval=terms[0], interval_count=terms[1])
    assert not Cycle.objects.exists()


def test_consumer_without_a_subscription_has_calendar_months(alice):
    set_cycle(consumer=alice, anchor=NOON, interval="month")
    clear_cycle(consumer=alice)
    assert not Cycle.objects.exists()
