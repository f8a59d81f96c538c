"""The one statement that takes from a quota."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest

from metering.models import CreditPack, QuotaBalance, UsageEvent, UsageKey
from tests.conftest import NOON
from tests.metering.usage import consume
from tests.together import at_once


@pytest.fixture
def meter(journal):
    return journal.meters.create(code="tokens")


def meter_of(journal, kind, **more):
    return journal.meters.create(code=kind, aggregation=kind, **more)


def test_what_fits_is_used(meter, alice):
    assert consume(meter, alice, "one", 4) == ("accepted", 4, 0, 0)
    event = UsageEvent.objects.get()
    assert (event.quantity, event.id.version) == (4, 7)


def test_what_does_not_fit_leaves_nothing(meter, alice):
    consume(meter, alice, "one", 8)
    assert consume(meter, alice, "two", 3)[0] == "refused"
    assert [key.event_id for key in UsageKey.objects.all()] == ["one"]
    assert QuotaBalance.objects.get().used == 8


def test_refused_event_may_come_again(meter, alice):
    consume(meter, alice, "one", 11)
    assert consume(meter, alice, "one", 11, limit=20)[0] == "accepted"


def test_same_event_counts_once_and_another_of_its_name_conflicts(meter, alice):
    consume(meter, alice, "one", 4)
    assert consume(meter, alice, "one", 4)[0] == "duplicate"
    assert consume(meter, alice, "one", 5)[0] == "conflict"
    assert QuotaBalance.objects.get().used == 4


def test_soft_limit_goes_into_overage(meter, alice):
    assert consume(meter, alice, "one", 14, hard=False) == ("accepted", 14, 0, 0)


def give(meter, consumer, amount, **terms):
    return CreditPack.objects.create(
        project=meter.project,
        consumer=consumer,
        meter=meter,
        amount=amount,
        remaining=amount,
        source="staff",
        idempotency_key=f"{amount} {terms}",
        **terms,
    )


def test_credits_pay_what_the_limit_does_not_cover(meter, alice):
    later = give(meter, alice, 5)
    sooner = give(meter, alice, 3, expires_at=NOON + timedelta(days=1))
    first = give(meter, alice, 1, priority=1)
    gone = give(meter, alice, 100, expires_at=NOON)
    assert consume(meter, alice, "one", 16) == ("accepted", 16, 6, 3)
    for pack, left in ((first, 0), (sooner, 0), (later, 3), (gone, 100)):
        pack.refresh_from_db()
        assert pack.remaining == left
        assert sum(entry.delta for entry in pack.entries.all()) == left - pack.amount


def test_credits_that_do_not_suffice_stay(meter, alice):
    pack = give(meter, alice, 5)
    assert consume(meter, alice, "one", 16)[0] == "refused"
    pack.refresh_from_db()
    assert pack.remaining == 5
    assert consume(meter, alice, "two", 15) == ("accepted", 15, 5, 0)


def test_maximum_takes_what_it_grows_by(journal, alice):
    meter = meter_of(journal, "max")
    used = [consume(meter, alice, f"e{n}", n)[:2] for n in (3, 2, 9, 11)]
    assert used == [("accepted", 3), ("accepted", 3), ("accepted", 9), ("refused", 9)]


def test_latest_value_may_fall(journal, alice):
    meter = meter_of(journal, "latest")
    used = [consume(meter, alice, f"e{n}", n)[:2] for n in (7, 2, 10)]
    assert used == [("accepted", 7), ("accepted", 2), ("accepted", 10)]


def test_same_value_takes_once(journal, alice):
    meter = meter_of(journal, "unique", value_property="who")
    seen = [
        consume(meter, alice, f"e{n}", value=value, limit=2)[:2]
        for n, value in enumerate(["ann", "bea", "ann", "cat"])
    ]
    assert seen == [("accepted", 1), ("accepted", 2), ("accepted", 2), ("refused", 2)]


def test_warning_is_due_when_the_threshold_is_reached(meter, alice):
    consume(meter, alice, "one", 7)
    assert not QuotaBalance.objects.get().warn_due
    consume(meter, alice, "two", 1)
    assert QuotaBalance.objects.get().warn_due


@pytest.mark.django_db(transaction=True)
def test_five_left_and_thirty_at_once_give_exactly_five(meter, alice):
    consume(meter, alice, "before", 5)
    names = count()
    outcomes = at_once(lambda: consume(meter, alice, f"e{next(names)}")[0], times=30)
    assert outcomes.count("accepted") == 5
    assert outcomes.count("refused") == 25
    assert QuotaBalance.objects.get().used == Decimal(10)


def test_refusal_writes_nothing_into_the_ledger(meter, alice):
    pack = give(meter, alice, 5)
    consume(meter, alice, "one", 16)
    assert not pack.entries.exists()
