"""The webhook desk over HTTP: only the project's own events."""

import pytest

from billing import replays
from billing.attempts import note_attempts
from billing.models import ReplayRun, StripeCustomer
from config.clock import now
from keystore.models import AuditEntry
from keystore.services import issue_key
from tests.billing.admin.conftest import an_event
from tests.conftest import NOON

INBOX = "/api/v1/admin/inbox"


@pytest.fixture
def events(alice, mallory):
    """Two events of journal's customer and one of orbit's."""
    for consumer, customer in [(alice, "cus_alice"), (mallory, "cus_mallory")]:
        StripeCustomer.objects.create(
            project=consumer.project, consumer=consumer, stripe_customer_id=customer
        )
    own = {"stripe_customer_id": "cus_alice", "state": "parked"}
    return [
        an_event("evt_1", **own),
        an_event("evt_2", **own, type="invoice.paid"),
        an_event("evt_foreign", stripe_customer_id="cus_mallory", state="parked"),
    ]


def ids(answer):
    return [event["event_id"] for event in answer.json()["data"]]


def test_only_own_events_are_listed_and_filtered(api, events):
    assert ids(api.get(INBOX)) == ["evt_2", "evt_1"]
    assert ids(api.get(INBOX, {"type": "invoice.paid"})) == ["evt_2"]
    assert ids(api.get(INBOX, {"state": "done"})) == []


def test_pages_follow_each_other(api, events):
    first = api.get(INBOX, {"limit": 1})
    second = api.get(INBOX, {"limit": 1, "cursor": first.json()["next_cursor"]})

    assert (ids(first), ids(second)) == (["evt_2"], ["evt_1"])
    assert second.json()["has_more"] is False
    assert api.get(INBOX, {"cursor": "evt_foreign"}).status_code == 400


def test_one_event_tells_its_tries(api, events):
    note_attempts(events=events[:1], outcome="parked", said="no such price", at=now())

    found = api.get(f"{INBOX}/events/evt_1").json()
    assert [one["said"] for one in found["tries"]] == ["no such price"]
    assert found["payload"]["id"] == "evt_1"
    assert api.get(f"{INBOX}/events/evt_foreign").status_code == 404


def test_a_range_replays_own_events_only(api, events):
    asked = {"state": "parked", "reason": "outage"}
    started = api.post(f"{INBOX}/replays", asked, format="json")
    assert (started.status_code, started.json()["total"]) == (202, 2)
    replays.work_replays(clock=now)

    run = api.get(f"{INBOX}/replays/{started.json()['replay_id']}").json()
    assert (run["state"], run["handled"]) == ("done", 2)
    events[2].refresh_from_db()
    assert events[2].state == "parked"


@pytest.mark.parametrize(
    "asked", [{"reason": "x"}, {"state": "parked"}, {"state": "lost", "reason": "x"}]
)
def test_a_range_that_makes_no_sense_is_refused(api, events, asked):
    assert api.post(f"{INBOX}/replays", asked, format="json").status_code == 400
    assert ReplayRun.objects.count() == 0


def test_another_project_s_replay_is_not_found(api, events, orbit):
    run = ReplayRun.objects.create(project=orbit, until=NOON, started_by="x", reason="x")

    assert api.get(f"{INBOX}/replays/{run.public_id}").status_code == 404


def test_a_sweep_is_on_record(api, events):
    answer = api.post(f"{INBOX}/sweep", {"days": 3, "reason": "downtime"}, format="json")

    assert answer.status_code == 202
    assert AuditEntry.objects.get(act="inbox.sweep").actor.startswith("app:")
    assert api.post(f"{INBOX}/sweep", {"days": 31, "reason": "x"}, format="json").status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""),
        ("get", "/events/evt_1"),
        ("post", "/replays"),
        ("get", "/replays/rpl_1"),
        ("post", "/sweep"),
    ],
)
def test_the_desk_needs_its_scope(api, events, journal, backend, method, path):
    weak = issue_key(project=journal, owner=backend, scopes=("keys:read",), actor="x", at=NOON)
    api.credentials(HTTP_X_API_KEY=weak.plaintext)

    assert getattr(api, method)(INBOX + path, format="json").status_code == 403
