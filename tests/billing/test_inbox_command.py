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


@pytest.mark.django_db(transaction=True)
def test_dry_run_changes_nothing(stripe_world, parked):
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


def test_show_tells_the_tries_and_the_payload(parked):
    from billing.attempts import note_attempts
    from config.clock import now

    note_attempts(events=[parked], outcome="parked", said="no such price", at=now())

    said = inbox("show", "evt_parked")
    assert "parked   no such price" in said
    assert '"id": "evt_parked"' in said
    with pytest.raises(CommandError, match="evt_nope: not found"):
        inbox("show", "evt_nope")


def test_a_range_is_chosen_by_type_and_time(parked):
    said = inbox("replay", "--type", "customer.updated", "--until", "2020-01-01", "--reason", "x")

    assert said == "0 of 0 replayed\n"
    assert inbox("replay", "--type", "customer.updated", "--reason", "x") == "1 of 1 replayed\n"


def test_sweep_takes_in_the_last_days(stripe_world, db):
    assert inbox("sweep", "--days", "3") == "0 events were missing\n"
