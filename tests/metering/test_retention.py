"""Months are made ahead, and dropped when nobody needs their events."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from keystore.models import AuditEntry
from metering import retention, rollup
from metering.models import UsageEvent, UsageKey, UsageRejection, UsageTotal
from metering.partitions import make_partitions, partitions
from metering.rebuild import first_provable_day
from tests.conftest import NOON
from tests.metering.usage import consume, use

# The fence leaves out what an open transaction wrote, as a test's own would be.
pytestmark = pytest.mark.django_db(transaction=True)
LATER = datetime(2027, 6, 15, tzinfo=UTC)


@pytest.fixture
def meter(journal):
    return journal.meters.create(code="tokens")


@pytest.fixture(autouse=True)
def months_as_before(transactional_db):
    """Tables that a test made are nobody else's."""
    before = {partition.name for partition in partitions()}
    yield
    with connection.cursor() as cursor:
        for partition in partitions():
            if partition.name not in before:
                cursor.execute(f"DROP TABLE {partition.name}")


def partition_of(event):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM metering_usageevent WHERE id = %s", [event.pk]
        )
        return cursor.fetchone()[0]


def prune(**more):
    return retention.prune_events(keep_months=13, actor="system", at=LATER, **more)


@pytest.fixture
def march(meter, alice):
    """Totalled events of NOON's month, in a partition of its own."""
    make_partitions(at=NOON)
    event = use(meter, alice, "one", 3)
    rollup.roll_up(clock=lambda: NOON)
    return event


def test_event_lies_in_the_month_of_its_receipt(march):
    assert partition_of(march) == "metering_usageevent_2026_03"


def test_partitions_are_made_once(db):
    assert (make_partitions(at=NOON), make_partitions(at=NOON)) == (4, 0)


def test_event_of_an_unexpected_month_moves_to_its_partition_when_that_is_made(meter, alice):
    event = use(meter, alice, "one", 3)
    assert partition_of(event) == "metering_usageevent_other"
    make_partitions(at=NOON)
    assert partition_of(event) == "metering_usageevent_2026_03"


def test_old_month_goes_and_totals_and_names_stay(march, meter, alice):
    assert [verdict.events for verdict in prune() if verdict.events] == [1]
    assert not UsageEvent.objects.exists()
    assert UsageTotal.objects.filter(quantity=3).count() == 2
    assert consume(meter, alice, "one", 3)[0] == "duplicate"
    assert UsageKey.objects.count() == 1
    assert AuditEntry.objects.filter(act="usage.prune").exists()


def test_totals_of_a_dropped_month_are_not_disproven(march):
    prune()
    assert first_provable_day() > NOON + timedelta(days=27)
    call_command("usage", "rebuild")


def test_month_that_is_not_totalled_stays(march, meter, alice):
    use(meter, alice, "two", 4)
    assert [verdict.kept_because for verdict in prune() if verdict.events] == ["not yet totalled"]
    assert UsageEvent.objects.count() == 2


def test_month_that_somebody_needs_stays(march, monkeypatch):
    monkeypatch.setattr(retention, "_holds", [lambda partition: "not yet reported"])
    assert {verdict.kept_because for verdict in prune()} == {"not yet reported"}
    assert UsageEvent.objects.exists()


def test_dry_run_only_says(march, capsys, monkeypatch):
    monkeypatch.setattr("metering.management.commands.usage.now", lambda: LATER)
    call_command("usage", "prune", "--dry-run")
    assert "2026-03: 1 events, would go" in capsys.readouterr().out
    assert UsageEvent.objects.exists()


def test_retention_of_zero_keeps_all(march, capsys):
    call_command("usage", "prune", "--keep-months", "0")
    assert "Every month is kept" in capsys.readouterr().out
    assert "metering_usageevent_2026_03" in {partition.name for partition in partitions()}


def test_rejections_are_forgotten_after_35_days(journal):
    for name, days in (("old", 36), ("new", 34)):
        UsageRejection.objects.create(
            project=journal, event_id=name, code="x", rejected_at=NOON - timedelta(days=days)
        )
    assert retention.forget_old_rejections(at=NOON) == 1
    assert UsageRejection.objects.get().event_id == "new"
