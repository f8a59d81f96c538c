"""Totals are what the events say, each counted once, whoever commits late."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from metering import rebuild, rollup
from metering.models import UsageDistinct, UsageTotal, Watermark
from tests.conftest import NOON
from tests.metering.usage import take_back, use
from tests.together import at_once

# The fence leaves out what an open transaction wrote, as a test's own would be.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def meter(journal):
    return journal.meters.create(code="tokens", dimensions=["model"])


def roll_up():
    return rollup.roll_up(clock=lambda: NOON)


def totals(grain="hour", field="quantity"):
    rows = UsageTotal.objects.filter(grain=grain).order_by("bucket", "consumer", "id")
    return [getattr(row, field) for row in rows]


def test_hours_and_days_add_up(meter, alice, bob):
    for hour, quantity in ((0, 3), (0, 4), (1, 5), (24, 6)):
        use(meter, alice, f"{hour}-{quantity}", quantity, at=NOON + timedelta(hours=hour))
    use(meter, bob, "other", 100)
    assert roll_up() == 5
    assert totals("hour") == [7, 100, 5, 6]
    assert totals("day") == [12, 100, 6]


def test_nothing_is_counted_twice(meter, alice):
    use(meter, alice, "one", 3)
    assert [roll_up(), roll_up()] == [1, 0]
    use(meter, alice, "two", 4)
    assert roll_up() == 1
    assert totals() == [7]
    assert totals(field="events") == [2]


def test_dimensions_are_kept_apart(meter, alice):
    use(meter, alice, "a", 1, properties='{"model": "small", "user": "x"}')
    use(meter, alice, "b", 2, properties='{"model": "large"}')
    use(meter, alice, "c", 4, properties='{"model": {"not": "plain"}}')
    roll_up()
    assert {str(row.dims): row.quantity for row in UsageTotal.objects.filter(grain="hour")} == {
        "{'model': 'small'}": 1,
        "{'model': 'large'}": 2,
        "{}": 4,
    }


def test_what_is_taken_back_leaves_sums(meter, alice):
    event = use(meter, alice, "one", 3)
    use(meter, alice, "two", 4)
    roll_up()
    take_back(event)
    roll_up()
    assert (totals(), totals(field="events")) == ([4], [1])
    assert rebuild.prove_totals().differences == []


@pytest.mark.parametrize(("kind", "field"), [("max", "maximum"), ("latest", "latest")])
def test_maximum_and_latest_fall_back_to_what_stands(journal, alice, kind, field):
    meter = journal.meters.create(code=kind, aggregation=kind)
    use(meter, alice, "one", 3)
    top = use(meter, alice, "two", 9, at=NOON + timedelta(minutes=1))
    roll_up()
    assert (totals("hour", field), totals("day", field)) == ([9], [9])
    take_back(top)
    roll_up()
    assert (totals("hour", field), totals("day", field)) == ([3], [3])
    assert rebuild.prove_totals().differences == []


def test_distinct_value_goes_with_its_last_event(journal, alice):
    meter = journal.meters.create(code="seats", aggregation="unique", value_property="who")
    first, _, _ = (use(meter, alice, f"e{n}", value=who) for n, who in enumerate("aab"))
    roll_up()
    assert sorted(UsageDistinct.objects.values_list("value", flat=True)) == ["a", "b"]
    take_back(first)
    roll_up()
    assert UsageDistinct.objects.filter(value="a").exists()
    second = first.__class__.objects.get(event_id="e1")
    take_back(second)
    roll_up()
    assert list(UsageDistinct.objects.values_list("value", flat=True)) == ["b"]
    assert rebuild.prove_totals().differences == []


def test_event_that_commits_late_is_not_missed(meter, alice):
    slow = psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None})
    with slow:
        slow.execute("select pg_current_xact_id()")  # it began before those that follow
        use(meter, alice, "quick", 1)
        assert roll_up() == 0
        slow.execute(
            "insert into metering_usageevent select (r).* from (select jsonb_populate_record(e,"
            " jsonb_build_object('id', gen_random_uuid(), 'event_id', 'slow', 'quantity', 10,"
            " 'xid', pg_current_xact_id()::text)) as r from metering_usageevent as e) as late"
        )
    slow.close()
    assert roll_up() == 2
    assert totals() == [11]


def test_several_roll_ups_at_once_count_once(meter, alice):
    for number in range(50):
        use(meter, alice, f"e{number}", 1)
    counted = at_once(roll_up, times=4)
    roll_up()
    assert sum(counted) <= 50
    assert totals() == [50]
    assert totals(field="events") == [50]


def test_roll_up_that_dies_counts_nothing(meter, alice, monkeypatch):
    use(meter, alice, "one", 3)
    monkeypatch.setattr(rollup, "DISTINCT", "SELECT 1/0")
    with pytest.raises(Exception, match="division"):
        roll_up()
    assert totals() == []
    monkeypatch.undo()
    roll_up()
    assert totals() == [3]


def test_small_steps_count_the_same(meter, alice):
    for number in range(7):
        use(meter, alice, f"e{number}", number)
    steps = []
    while not steps or steps[-1].more:
        steps.append(rollup.count_new(at=NOON, at_once=2))
    assert [step.events for step in steps if step.events] == [2, 2, 2, 1]
    assert totals() == [21]


def test_totals_equal_the_events_whatever_their_order(journal, alice, bob):
    chance = random.Random(7)
    meters = [
        journal.meters.create(code=kind, aggregation=kind, value_property="v", dimensions=["d"])
        for kind in ("sum", "count", "max", "latest", "unique")
    ]
    standing = []
    for number in range(150):
        event = use(
            chance.choice(meters),
            chance.choice([alice, bob]),
            f"e{number}",
            Decimal(chance.randrange(1000)) / 8,
            value=chance.choice("abc"),
            at=NOON + timedelta(minutes=chance.randrange(4000)),
            properties=chance.choice(["{}", '{"d": 1}', '{"d": "x"}']),
        )
        standing.append(event)
        if chance.random() < 0.3:
            take_back(standing.pop(chance.randrange(len(standing))))
        if chance.random() < 0.2:
            roll_up()
    roll_up()
    proof = rebuild.prove_totals()
    assert proof.differences == []
    assert proof.buckets == UsageTotal.objects.count()
    sums = {one.meter_id: 0 for one in standing}
    for one in standing:
        sums[one.meter_id] += one.quantity
    for row_meter, quantity in sums.items():
        rows = UsageTotal.objects.filter(meter=row_meter, grain="day")
        assert sum(row.quantity for row in rows) == quantity


def test_wrong_total_is_found_named_and_mended(meter, alice, capsys):
    use(meter, alice, "one", 3)
    roll_up()
    UsageTotal.objects.filter(grain="day").update(quantity=4)
    with pytest.raises(CommandError, match="1 differ"):
        call_command("usage", "rebuild")
    assert "day 2026-03-01 00:00: quantity 4.000000000000, events say 3" in capsys.readouterr().out
    call_command("usage", "rebuild", "--repair")
    call_command("usage", "rebuild")
    assert totals("day") == [3]


def test_mark_of_another_database_is_refused_until_it_is_reset(meter, alice):
    use(meter, alice, "one", 3)
    Watermark.objects.filter(name="rollup").update(xid=10**15)
    with pytest.raises(rollup.MarkAhead, match="rebuild --reset"):
        roll_up()
    call_command("usage", "rebuild", "--reset")
    with transaction.atomic():
        use(meter, alice, "two", 4)
    assert totals() == [3]
    assert Watermark.objects.get(name="rollup").xid < 10**15
    assert datetime.now(UTC) > NOON
