"""What was counted is taken back or put right, with quota and credits, by further events."""

from datetime import timedelta
from decimal import Decimal

import pytest

from keystore.models import AuditEntry
from metering.corrections import amend_event, void_event
from metering.errors import EventNotFound, EventVoided, InvalidQuantity, UsageExceeded
from metering.ingest import record
from metering.models import CreditPack, QuotaBalance, QuotaUnique, UsageEvent, UsageKey
from metering.told import told
from tests.conftest import NOON
from tests.metering.quota_cast import give, ledger_of, metered, sell
from tests.together import at_once

BY = {"reason": "counted twice", "actor": "app:x", "at": NOON}


@pytest.fixture
def allowed(journal, alice):
    """Alice may use ten of any meter of these tests."""
    give(alice, plan=sell(journal, "tokens", limit=10), at=NOON - timedelta(days=40))


def tell(project, event_id, quantity=1, **properties):
    import orjson

    event = told(
        id=event_id,
        source="",
        meter="tokens",
        user_id="alice",
        quantity=str(quantity).encode(),
        occurred_at=None,
        properties=orjson.dumps(properties),
        api="",
        key="",
    )
    (receipt,) = record(project=project, events=[event], at=NOON)
    return receipt.status


def used():
    return QuotaBalance.objects.get().used


def test_voided_event_gives_its_quota_back(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    tell(journal, "two", 3)
    done = void_event(project=journal, event_id="one", **BY)
    assert used() == 3
    counter = UsageEvent.objects.get(pk=done.counter)
    assert (counter.quantity, counter.voids, counter.corrects) == (-4, True, done.event.pk)
    assert UsageKey.objects.get(event_id="one").voided_by == counter.pk
    entry = AuditEntry.objects.get(act="usage.void")
    assert (entry.reason, entry.object_id) == ("counted twice", str(done.event.pk))


def test_voiding_twice_gives_back_once(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    void_event(project=journal, event_id="one", **BY)
    assert void_event(project=journal, event_id="one", **BY).counter is None
    assert (used(), UsageEvent.objects.count()) == (0, 2)


def test_voided_event_sent_again_stays_taken_back(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    void_event(project=journal, event_id="one", **BY)
    assert tell(journal, "one", 4) == "duplicate"
    assert used() == 0


def test_credits_go_back_to_their_pack(journal, alice, allowed):
    meter = metered(journal)
    pack = CreditPack.objects.create(
        project=journal, consumer=alice, meter=meter, amount=5, remaining=5, source="staff"
    )
    pack.entries.create(kind="given", delta=5)
    tell(journal, "one", 13)
    void_event(project=journal, event_id="one", **BY)
    assert ledger_of(pack) == (5, 5)
    balance = QuotaBalance.objects.get()
    assert (balance.used, balance.from_credits) == (0, 0)


def test_amended_event_counts_with_its_new_quantity(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    done = amend_event(project=journal, event_id="one", quantity=Decimal(6), **BY)
    assert used() == 6
    key = UsageKey.objects.get()
    assert (key.event, key.voided_by) == (done.replacement, None)
    assert UsageEvent.objects.get(pk=done.replacement).corrects == done.event.pk
    assert sum(event.quantity for event in UsageEvent.objects.all()) == 6
    assert tell(journal, "one", 4) == "duplicate"


def test_amending_to_the_same_changes_nothing(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    assert amend_event(project=journal, event_id="one", quantity=Decimal(4), **BY).counter is None
    assert UsageEvent.objects.count() == 1


def test_amendment_that_does_not_fit_changes_nothing(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    with pytest.raises(UsageExceeded):
        amend_event(project=journal, event_id="one", quantity=Decimal(11), **BY)
    assert (used(), UsageEvent.objects.count(), UsageKey.objects.count()) == (4, 1, 1)


def test_amended_event_can_be_voided_and_then_not_amended(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    amend_event(project=journal, event_id="one", quantity=Decimal(6), **BY)
    void_event(project=journal, event_id="one", **BY)
    assert used() == 0
    assert sum(event.quantity for event in UsageEvent.objects.all()) == 0
    with pytest.raises(EventVoided):
        amend_event(project=journal, event_id="one", quantity=Decimal(1), **BY)


def test_maximum_falls_to_what_is_left(journal, allowed):
    metered(journal, aggregation="max")
    for event_id, quantity in (("one", 3), ("two", 9), ("three", 5)):
        tell(journal, event_id, quantity)
    void_event(project=journal, event_id="two", **BY)
    assert used() == 5


def test_latest_value_is_the_one_before(journal, allowed):
    metered(journal, aggregation="latest")
    tell(journal, "one", 3)
    tell(journal, "two", 9)
    void_event(project=journal, event_id="two", **BY)
    assert used() == 3


def test_distinct_value_goes_with_its_last_event(journal, allowed):
    metered(journal, aggregation="unique", value_property="seat")
    for event_id, seat in (("one", "a"), ("two", "a"), ("three", "b")):
        tell(journal, event_id, seat=seat)
    void_event(project=journal, event_id="one", **BY)
    assert used() == 2
    void_event(project=journal, event_id="two", **BY)
    assert (used(), [seen.value for seen in QuotaUnique.objects.all()]) == (1, ["b"])


def test_measured_property_is_amended_by_properties(journal, allowed):
    metered(journal, value_property="size")
    tell(journal, "one", size=4)
    amend_event(project=journal, event_id="one", properties=b'{"size": "2.5"}', **BY)
    assert used() == Decimal("2.5")
    with pytest.raises(InvalidQuantity):
        amend_event(project=journal, event_id="one", properties=b"{}", **BY)


def test_unknown_event_and_another_projects_are_not_found(journal, orbit, allowed):
    metered(journal)
    tell(journal, "one")
    for project, event_id in ((journal, "two"), (orbit, "one")):
        with pytest.raises(EventNotFound):
            void_event(project=project, event_id=event_id, **BY)


@pytest.mark.django_db(transaction=True)
def test_void_and_amend_at_once_leave_one_outcome(journal, allowed):
    metered(journal)
    tell(journal, "one", 4)
    at_once(lambda: void_event(project=journal, event_id="one", **BY).counter, times=6)
    assert (used(), UsageEvent.objects.count()) == (0, 2)
