"""Promises that are broken are found, named and told."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.invariants import CHECKS, check_all, check_named
from billing.models import (
    InvariantCheck,
)
from entitlements.models import Answer
from entitlements.services import refresh_answer
from tests.billing.admin.conftest import an_event
from tests.billing.invariants_cast import HOUR, PLANTED, broken, jobs_that_ran, plant
from tests.conftest import NOON

__all__ = ["jobs_that_ran", "plant"]  # fixtures

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("code", PLANTED)
def test_a_broken_promise_is_found_and_named(plant, code):
    name = getattr(plant, code.replace("-", "_"))()

    found = broken()

    # Of one planted defect the two sums of money speak together.
    assert set(found) - {"ledger-equals-refunds"} | {code} == {code}
    example = found[code].examples[0]
    assert name in f"{example['object']} {example['detail']}"
    assert found[code].failing_since == NOON


def test_all_promises_hold_where_nothing_is_wrong(plant):
    plant.subscription()
    plant.grant()
    plant.key()
    refresh_answer(consumer=plant.consumer, at=NOON)
    plant.refund(plant.payment(refunded_minor=200), 200)

    assert broken() == {}


def test_a_plain_hour_without_events_is_no_silence(db):
    an_event("evt_1", state="done", note="x", finished_at=NOON, received_at=NOON - HOUR)

    assert broken() == {}


@pytest.mark.django_db(transaction=True)
def test_an_old_transaction_is_found(monkeypatch):
    monkeypatch.setattr("billing.invariants.machine.LONGEST_TRANSACTION_SECONDS", 0)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1")
            (row,) = check_all(at=NOON, checks=[check_named("no-old-transactions")])
    finally:
        other.close()

    assert row.violations == 1
    assert "process" in row.examples[0]["object"]


def test_people_are_told_once_and_again_after_it_held(plant, mailoutbox, settings):
    settings.ALERT_EMAILS = ["ops@example.com"]
    event = an_event("evt_1", state="parked", last_error="poison")
    check_all(at=NOON)
    check_all(at=NOON + timedelta(minutes=5), checks=[check_named("no-event-is-parked")])
    assert [mail.to for mail in mailoutbox] == [["ops@example.com"]]
    assert "poison" in mailoutbox[0].body

    event.delete()
    check_all(at=NOON)
    assert InvariantCheck.objects.get(code="no-event-is-parked").failing_since is None
    an_event("evt_2", state="parked", last_error="poison")
    check_all(at=NOON)
    assert len(mailoutbox) == 2


def test_a_check_that_cannot_be_made_counts_as_broken(plant):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE keystore_hookdelivery RENAME COLUMN state TO stat")

    found = broken()

    assert set(found) == {"hooks-are-delivered"}
    assert found["hooks-are-delivered"].examples[0]["object"] == "the check itself"


def test_the_command_names_what_is_broken_and_ends_with_1(plant):
    plant.no_event_is_parked()
    out = StringIO()

    with pytest.raises(CommandError, match="1 of 1 promises are broken") as ended:
        call_command("check_invariants", "no-event-is-parked", stdout=out)

    assert ended.value.returncode == 1
    assert "BROKEN No event was given up" in out.getvalue()
    assert "poison" in out.getvalue()


def test_the_command_knows_its_promises(db):
    out = StringIO()
    call_command("check_invariants", "--list", stdout=out)

    assert out.getvalue().count("\n") == len(CHECKS)
    with pytest.raises(CommandError, match="No such promise: nope"):
        call_command("check_invariants", "nope")


def test_an_answer_is_looked_at_only_while_it_holds(plant):
    refresh_answer(consumer=plant.consumer, at=NOON)
    plant.grant()
    Answer.objects.update(changes_at=NOON)

    assert broken() == {}
