"""The sweep of Stripe's own list of events."""

from datetime import timedelta

import pytest

from billing import gateway, missed
from billing.models import EventSweep, InboxEvent
from billing.receipt import keep
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def make_events(number, tag=""):
    for each in range(number):
        gateway.write("/v1/customers", {}, idempotency_key=f"test:{tag}:{each}")


def sweep(clock, **more):
    return missed.fetch_missed_events(at=clock(), **more)


def requests(sandbox):
    return sandbox.executions(route="GET /v1/events")


def test_each_sweep_reads_only_what_is_new(clock, stripe_world):
    make_events(3)
    clock.advance(minutes=5)
    assert sweep(clock) == 3
    assert EventSweep.objects.get().read_until == clock() - missed.SETTLING

    clock.advance(hours=3)
    make_events(2, "later")
    clock.advance(minutes=5)
    assert sweep(clock) == 2
    assert InboxEvent.objects.count() == 5


def test_downtime_of_weeks_is_caught_up_over_several_runs(clock, stripe_world, monkeypatch):
    monkeypatch.setattr(gateway, "PAGE_SIZE", 10)
    sweep(clock)
    clock.advance(minutes=20)
    make_events(25)
    clock.advance(days=29)

    found = [sweep(clock, seconds=0) for _ in range(3)]

    assert found == [10, 10, 5]
    place = EventSweep.objects.get()
    assert (place.cursor, place.window_until) == ("", None)
    assert place.read_until == clock() - missed.SETTLING
    before = requests(stripe_world)
    assert sweep(clock) == 0
    assert requests(stripe_world) == before + 1


def test_an_event_that_the_webhook_brought_is_left_alone(clock):
    make_events(1)
    clock.advance(minutes=5)
    (event,) = gateway.read_all("/v1/events")
    keep(event=event, at=clock())

    assert sweep(clock) == 0
    assert InboxEvent.objects.get().deliveries == 1


def test_what_only_the_sweep_found_was_not_delivered_until_it_is(clock):
    make_events(1)
    clock.advance(minutes=5)
    sweep(clock)
    assert InboxEvent.objects.get().deliveries == 0

    keep(event=InboxEvent.objects.get().payload, at=clock())
    assert InboxEvent.objects.get().deliveries == 1


def test_an_empty_list_is_not_believed(clock, stripe_world):
    make_events(2)
    clock.advance(minutes=5)
    sweep(clock)
    place = EventSweep.objects.get().read_until
    clock.advance(minutes=5)
    stripe_world.faults.add("GET /v1/events", "empty_list", times=1)

    with pytest.raises(gateway.StripeUnavailable):
        sweep(clock)
    assert EventSweep.objects.get().read_until == place


def test_a_place_that_stripe_has_forgotten_begins_the_window_anew(clock):
    make_events(2)
    clock.advance(minutes=5)
    EventSweep.objects.create(
        name="events", read_until=NOON, swept_at=NOON, window_until=clock(), cursor="evt_gone"
    )

    assert sweep(clock) == 2


def test_a_named_range_leaves_the_place_alone(clock):
    make_events(2)
    clock.advance(days=3)

    assert sweep(clock, since=NOON - timedelta(days=1)) == 2
    assert EventSweep.objects.count() == 0


def test_silence_is_noticed_after_a_quarter_of_an_hour(clock):
    make_events(1)
    clock.advance(minutes=10)
    sweep(clock)
    assert missed.silence(at=clock()) is None

    clock.advance(minutes=10)
    found = missed.silence(at=clock())
    assert (found.events, found.last_webhook_at) == (1, None)
