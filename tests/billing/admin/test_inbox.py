"""The webhook desk: reading and replaying."""

from billing.models import InboxState
from keystore import doorbell
from keystore.models import AuditEntry
from tests.billing.admin.conftest import an_event, say

LIST = "/admin/billing/inboxevent/"


def select(*events, **more):
    pks = [event.pk for event in events]
    return {"action": "replay_selected", "_selected_action": pks, "index": "0", **more}


def test_replay_puts_the_event_back_and_is_on_record(support, parked):
    support.post(f"{LIST}{parked.pk}/replay_one/", say())

    parked.refresh_from_db()
    entry = AuditEntry.objects.get(act="inbox.replay")
    assert (parked.state, parked.attempts) == (InboxState.PENDING, 0)
    assert (entry.actor, entry.reason) == ("staff:support", "a ticket")


def test_replay_rings_the_worker_after_commit(
    support, parked, monkeypatch, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as rung:
        support.post(f"{LIST}{parked.pk}/replay_one/", say())

    assert [(call.func, call.args) for call in rung] == [
        (doorbell.ring, ("billing.tasks.work_inbox",))
    ]


def test_replay_needs_a_reason(support, parked):
    answer = support.post(f"{LIST}{parked.pk}/replay_one/", say(reason=""))

    parked.refresh_from_db()
    assert "This field is required." in answer.content.decode()
    assert parked.state == InboxState.PARKED


def test_selected_events_ask_for_a_reason_first(support, parked):
    page = support.post(LIST, select(parked))

    parked.refresh_from_db()
    assert "evt_parked" in page.content.decode()
    assert parked.state == InboxState.PARKED


def test_selected_events_are_replayed_and_counted(support, parked):
    live = an_event("evt_live", state="ignored", payload={**parked.payload, "livemode": True})

    page = support.post(LIST, select(parked, live, deed_reason="outage"), follow=True)

    parked.refresh_from_db()
    live.refresh_from_db()
    assert "1 of 2 events wait to be worked off again." in page.content.decode()
    assert "evt_live cannot be replayed" in page.content.decode()
    assert (parked.state, live.state) == (InboxState.PENDING, InboxState.IGNORED)


def test_reader_cannot_replay_selected_events(reader, parked):
    reader.post(LIST, select(parked, deed_reason="x"))

    parked.refresh_from_db()
    assert parked.state == InboxState.PARKED


def test_payload_is_for_those_who_may_see_persons(support, reader, parked):
    address = f"{LIST}{parked.pk}/change/"

    for client in (support, reader):
        assert "alice@example.com" not in client.get(address).content.decode()
    support.post(f"/admin/reveal/billing.inboxevent/{parked.pk}/")
    assert reader.post(f"/admin/reveal/billing.inboxevent/{parked.pk}/").status_code == 403

    assert "alice@example.com" in support.get(address).content.decode()
    assert "alice@example.com" not in reader.get(address).content.decode()


def test_list_is_filtered_by_state(support, parked):
    an_event("evt_fresh", state="pending")

    page = support.get(LIST, {"state__exact": "parked"}).content.decode()

    assert "evt_parked" in page
    assert "evt_fresh" not in page
