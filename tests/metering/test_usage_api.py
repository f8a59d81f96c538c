"""GET /usage and /usage/events/{id}: what was used, when, and what became of one event."""

import json
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from config.clock import now
from metering.ingest import record
from metering.rollup import count_new
from metering.told import told
from tests.metering.quota_cast import give, metered, sell

OCTOBER = datetime(2026, 10, 30, 12, tzinfo=UTC)


@pytest.fixture
def tokens(journal):
    return journal.meters.create(code="tokens", dimensions=["model"])


def tell(project, n, quantity=1, *, user="alice", at=OCTOBER, **properties):
    event = told(
        id=f"e{n}",
        source="",
        meter="tokens",
        user_id=user,
        quantity=str(quantity).encode(),
        occurred_at=at,
        properties=orjson.dumps(properties),
        api="",
        key="",
    )
    (receipt,) = record(project=project, events=[event], at=at)
    assert receipt.status == "accepted", receipt


def usage(api, **asked):
    """Per line: start, groups, quantity."""
    asked = {"meter": "tokens", "from": "2026-10-01", "to": "2026-11-01", **asked}
    answer = api.get("/api/v1/usage", asked)
    assert answer.status_code == 200, answer.content
    return [
        (line["start"][:16], *line["groups"].values(), line["quantity"])
        for line in answer.json()["data"]
    ]


@pytest.mark.django_db(transaction=True)
def test_usage_is_the_same_before_and_after_the_roll_up(api, journal, tokens, alice, bob):
    tell(journal, 1, 5, model="large")
    count_new(at=OCTOBER)
    tell(journal, 2, "0.5", model="small")
    tell(journal, 3, 2, user="bob", at=OCTOBER + timedelta(days=1))
    before = [usage(api), usage(api, group_by="user_id,model"), usage(api, window="hour")]
    count_new(at=OCTOBER)
    assert before == [usage(api), usage(api, group_by="user_id,model"), usage(api, window="hour")]
    assert before[0] == [("2026-10-30T00:00", 5.5), ("2026-10-31T00:00", 2)]
    assert before[1] == [
        ("2026-10-30T00:00", "alice", "large", 5),
        ("2026-10-30T00:00", "alice", "small", 0.5),
        ("2026-10-31T00:00", "bob", None, 2),
    ]


def test_usage_of_one_user(api, journal, tokens, alice, bob):
    tell(journal, 1, 5)
    tell(journal, 2, 3, user="bob")
    assert usage(api, user_id="bob", window="month") == [("2026-10-01T00:00", 3)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rolled_up", [False, True])
def test_night_of_25_hours_has_its_own_day(api, journal, tokens, alice, rolled_up):
    """In Berlin, 25 October 2026 lasts from 22:00 to 23:00 UTC of the next day."""
    for n, (day, hour) in enumerate([(24, 21), (24, 22), (25, 0), (25, 1), (25, 22), (25, 23)]):
        tell(journal, n, 10**n, at=datetime(2026, 10, day, hour, 30, tzinfo=UTC))
    if rolled_up:
        count_new(at=OCTOBER)
    assert usage(api, timezone="Europe/Berlin") == [
        ("2026-10-24T00:00", 1),
        ("2026-10-25T00:00", 11110),
        ("2026-10-26T00:00", 100000),
    ]
    hours = usage(api, timezone="Europe/Berlin", window="hour")
    assert [start for start, _ in hours if start.startswith("2026-10-25T02")] == [
        "2026-10-25T02:00",
        "2026-10-25T02:00",
    ]


@pytest.mark.django_db(transaction=True)
def test_days_of_a_zone_that_is_off_by_half_an_hour(api, journal, tokens, alice):
    tell(journal, 1, 1, at=datetime(2026, 10, 29, 18, 29, tzinfo=UTC))
    tell(journal, 2, 10, at=datetime(2026, 10, 29, 18, 31, tzinfo=UTC))
    count_new(at=OCTOBER)
    assert usage(api, timezone="Asia/Kolkata") == [
        ("2026-10-29T00:00", 1),
        ("2026-10-30T00:00", 10),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "quantity"), [("sum", 14), ("count", 3), ("max", 9), ("latest", 3), ("unique", 2)]
)
def test_every_kind_of_meter_is_right_at_once(api, journal, alice, kind, quantity):
    journal.meters.create(
        code="tokens", aggregation=kind, value_property="seat" if kind == "unique" else ""
    )
    for n, (amount, seat) in enumerate([(2, "a"), (9, "b"), (3, "a")]):
        tell(journal, n, amount, at=OCTOBER + timedelta(minutes=n), seat=seat)
    assert usage(api) == [("2026-10-30T00:00", quantity)]
    count_new(at=OCTOBER)
    assert usage(api) == [("2026-10-30T00:00", quantity)]


@pytest.mark.django_db(transaction=True)
def test_what_is_taken_back_is_gone_before_the_roll_up_knows(api, journal, alice):
    journal.meters.create(code="tokens", aggregation="max")
    tell(journal, 1, 9)
    tell(journal, 2, 4)
    count_new(at=OCTOBER)
    answer = api.post("/api/v1/usage/events/e1/void", {"reason": "test"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (200, "voided")
    assert usage(api) == [("2026-10-30T00:00", 4)]


def test_csv_is_safe_in_a_spreadsheet(api, journal, tokens, alice):
    tell(journal, 1, "0.25", model="=cmd()")
    asked = {"meter": "tokens", "from": "2026-10-01", "to": "2026-11-01", "group_by": "model"}
    answer = api.get("/api/v1/usage", asked, headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert b"".join(answer.streaming_content).decode().splitlines() == [
        "meter,start,end,model,quantity,events",
        "tokens,2026-10-30T00:00:00+00:00,2026-10-31T00:00:00+00:00,'=cmd(),0.25,1",
    ]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"meter": "none"}, 404),
        ({"user_id": "nobody"}, 404),
        ({"api": "none"}, 404),
        ({"key": "key_none"}, 404),
        ({"timezone": "../etc/passwd"}, 400),
        ({"timezone": "Mars/Olympus"}, 400),
        ({"window": "minute"}, 400),
        ({"from": "yesterday"}, 400),
        ({"from": "2026-10-01T00:00:00"}, 400),
        ({"from": "2026-12-01"}, 400),
        ({"from": "2001-01-01"}, 400),
        ({"from": "0001-01-01"}, 400),
        ({"group_by": "colour'; --"}, 400),
    ],
)
def test_what_cannot_be_asked_is_told(api, tokens, asked, status):
    whole = {"meter": "tokens", "from": "2026-10-01", "to": "2026-11-01", **asked}
    answer = api.get("/api/v1/usage", whole)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


def test_event_tells_what_became_of_it(api, journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=10), at=OCTOBER - timedelta(days=40))
    metered(journal)
    tell(journal, "/a b", 4, model="large")
    found = api.get("/api/v1/usage/events/e%2Fa%20b").json()
    assert (found["state"], found["counted"], found["adjustment"]) == ("counted", True, False)
    assert (found["quantity"], found["user_id"], found["meter"]) == (4, "alice", "tokens")
    assert found["period_start"].startswith("2026-10-01T00:00:00")
    assert api.get(f"/api/v1/usage/events/{found['event']}").json() == found


def test_rejected_event_tells_why(api, journal, alice):
    body = json.dumps({"id": "e1", "meter": "none", "user_id": "alice"})
    api.post("/api/v1/usage/events", body, content_type="application/json")
    found = api.get("/api/v1/usage/events/e1").json()
    assert (found["state"], found["counted"], found["code"]) == ("rejected", False, "unknown_meter")


def test_amended_event_shows_its_history(api, journal, tokens, alice):
    tell(journal, 1, 4)
    amended = {"quantity": "2.5", "reason": "counted wrongly"}
    answer = api.post("/api/v1/usage/events/e1/amend", amended, format="json")
    found = answer.json()
    assert (found["state"], found["quantity"]) == ("amended", 2.5)
    assert [line["quantity"] for line in found["history"]] == [2.5, 4]
    assert usage(api) == [("2026-10-30T00:00", 2.5)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": "x"}, 400),
        ({"quantity": 1}, 400),
        ({"quantity": -1, "reason": "x"}, 400),
        ({"quantity": True, "reason": "x"}, 400),
        ({"quantity": "NaN", "reason": "x"}, 400),
        ({"properties": {"text": "x" * 5000}, "reason": "x"}, 400),
        ({"properties": [], "reason": "x"}, 400),
    ],
)
def test_amendment_must_make_sense(api, journal, tokens, alice, body, status):
    tell(journal, 1, 4)
    answer = api.post("/api/v1/usage/events/e1/amend", body, format="json")
    assert answer.status_code == status


def test_event_of_nobody_is_not_found(api, journal):
    for path in ("e1", "e1/void", "e1/amend"):
        call = api.get if path == "e1" else api.post
        answer = call(f"/api/v1/usage/events/{path}", {"reason": "x", "quantity": 1}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


def test_only_those_with_the_scope_read_and_correct(client, journal, backend):
    from keystore.services import issue_key

    key = issue_key(project=journal, owner=backend, scopes=("keys:read",), actor="test", at=now())
    for path in ("usage?meter=x", "usage/events/e1"):
        answer = client.get(f"/api/v1/{path}", headers={"X-API-Key": key.plaintext})
        assert answer.status_code == 403
    for path in ("void", "amend"):
        answer = client.post(
            f"/api/v1/usage/events/e1/{path}", headers={"X-API-Key": key.plaintext}
        )
        assert answer.status_code == 403
