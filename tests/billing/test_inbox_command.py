"""`manage.py inbox`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing.models import InboxState
from keystore.models import AuditEntry
from tests.billing.admin.conftest import an_event


def inbox(*arguments):
    out = StringIO()
    call_command("inbox", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def parked(db):
    return an_event("evt_parked", state="parked", last_error="Stripe was away")


def test_replay_by_state_says_how_many(parked):
    an_event("evt_done", state="done")

    said = inbox("replay", "--state", "parked", "--reason", "outage")

    parked.refresh_from_db()
    assert said == "1 of 1 replayed\n"
    assert parked.state == InboxState.PENDING
    assert AuditEntry.objects.get().reason == "outage"


def test_dry_run_changes_nothing(parked):
    said = inbox("replay", "evt_parked", "--dry-run", "--reason", "x")

    parked.refresh_from_db()
    assert "1 of 1 would be replayed" in said
    assert parked.state == InboxState.PARKED
    assert AuditEntry.objects.count() == 0


def test_unknown_event_is_named(db):
    assert "evt_nope: not found" in inbox("replay", "evt_nope", "--reason", "x")


def test_replay_of_everything_must_be_chosen(parked):
    with pytest.raises(CommandError, match="Name events"):
        inbox("replay", "--reason", "x")


def test_replay_needs_a_reason(parked):
    with pytest.raises(CommandError, match="--reason"):
        inbox("replay", "evt_parked")


def test_list_and_report_show_what_went_wrong(parked):
    assert "evt_parked  customer.updated  tries 12  Stripe was away" in inbox("list")
    assert inbox("park-report") == "    1  customer.updated  Stripe was away\n1 parked\n"


@pytest.mark.django_db(transaction=True)
def test_work_ignores_an_event_of_nobody(stripe_world):
    from config.clock import now

    event = an_event("evt_1", stripe_customer_id="cus_unknown", next_attempt_at=now())

    assert inbox("work") == "1 events worked off\n"
    event.refresh_from_db()
    assert event.state == InboxState.IGNORED


def test_fetch_takes_in_what_was_missed(stripe_world, db):
    assert inbox("fetch") == "0 events were missing\n"
