"""Totals are the distinct accepted events, whatever is sent again, mixed up or at once."""

from datetime import UTC, datetime
from itertools import count
from random import Random
from threading import Lock

import pytest
from django.db import OperationalError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.ingest import record
from metering.models import QuotaBalance, UsageEvent, UsageKey, UsageTotal
from metering.rollup import count_new
from metering.told import told
from tests.metering.quota_cast import give, metered, sell
from tests.together import at_once

AT = datetime(2026, 10, 30, 12, tzinfo=UTC)


def event(name, quantity=1, meter="tokens", user="alice"):
    return told(
        id=name,
        source="",
        meter=meter,
        user_id=user,
        quantity=str(quantity).encode(),
        occurred_at=None,
        properties=b"",
        api="",
        key="",
    )


def statuses(project, events):
    return [receipt.status for receipt in record(project=project, events=events, at=AT)]


names = st.integers(0, 12)
batches = st.lists(
    st.lists(st.tuples(names, st.integers(1, 4)), min_size=1, max_size=15), max_size=6
)


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=20), at=AT)
    return metered(journal)


@pytest.mark.django_db(transaction=True)
@settings(max_examples=25)
@given(sent=batches)
def test_totals_are_the_distinct_accepted_events(journal, tokens, sent):
    """The model: one event after another, each name once, never above the limit."""
    for table in (UsageEvent, UsageKey, QuotaBalance, UsageTotal):
        table.objects.all().delete()
    model: dict[int, int] = {}
    for batch in sent:
        expected = []
        for name, quantity in batch:
            if name in model:
                expected.append("duplicate" if model[name] == quantity else "conflict")
            elif sum(model.values()) + quantity <= 20:
                model[name] = quantity
                expected.append("accepted")
            else:
                expected.append("rejected")
        found = statuses(journal, [event(f"e{name}", quantity) for name, quantity in batch])
        distinct = len({name for name, _ in batch}) == len(batch)
        # A repeated name waits for the first of it, so what comes between may be tried before.
        assert not distinct or found == expected
        model = {int(one.event_id[1:]): int(one.quantity) for one in UsageEvent.objects.all()}
        assert found.count("accepted") >= expected.count("accepted") or not distinct
    used = sum(model.values())
    count_new(at=AT)
    assert used == sum(balance.used for balance in QuotaBalance.objects.all()) <= 20
    assert used == sum(total.quantity for total in UsageTotal.objects.filter(grain="day"))
    assert UsageKey.objects.count() == len(model)


@pytest.mark.django_db(transaction=True)
def test_overlapping_batches_at_once_count_each_event_once(journal, alice, bob):
    plan = sell(journal, "tokens", limit=10_000)
    for user in (alice, bob):
        give(user, plan=plan, at=AT)
    metered(journal)
    journal.meters.create(code="open")
    seeds, lock = count(), Lock()

    def batch():
        with lock:
            random = Random(next(seeds))
        chosen = random.sample(range(120), 80)  # in another order each time
        users, meters = ("alice", "bob"), ("tokens", "open")
        return statuses(
            journal,
            [event(f"e{n}", n, meters[n // 2 % 2], users[n % 2]) for n in chosen],
        )

    found = [status for one in at_once(batch, times=6) for status in one]
    assert set(found) == {"accepted", "duplicate"}
    assert found.count("accepted") == UsageEvent.objects.count() == UsageKey.objects.count()
    for balance in QuotaBalance.objects.all():
        events = UsageEvent.objects.filter(consumer=balance.consumer, meter=balance.meter)
        assert balance.used == sum(one.quantity for one in events)


@pytest.mark.django_db(transaction=True)
def test_batches_at_once_never_exceed_a_limit(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=50), at=AT)
    metered(journal)
    numbers, lock = count(), Lock()

    def batch():
        with lock:
            start = next(numbers) * 20
        return statuses(journal, [event(f"e{start + n}") for n in range(20)])

    found = [status for one in at_once(batch, times=6) for status in one]
    assert (found.count("accepted"), found.count("rejected")) == (50, 70)
    assert QuotaBalance.objects.get().used == 50


@pytest.mark.django_db(transaction=True)
def test_killed_connection_leaves_all_or_nothing_and_a_retry_counts_the_rest(journal, alice):
    """The answer is lost; the same batch is sent again."""
    journal.meters.create(code="tokens")
    events = [event(f"e{n}") for n in range(200)]

    def kill(pid):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    def dies():
        with transaction.atomic(), connection.cursor() as cursor:
            record(project=journal, events=events, at=AT)
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
            at_once(lambda: kill(pid), times=1)
            cursor.execute("SELECT 1")

    with pytest.raises(OperationalError):
        dies()
    connection.close()
    assert UsageEvent.objects.count() == 0
    assert statuses(journal, events) == ["accepted"] * 200
    assert statuses(journal, events) == ["duplicate"] * 200
    assert UsageEvent.objects.count() == 200
