"""Bad events: each is told what is wrong, none is counted, none breaks the server."""

import json

import pytest

from metering.models import UsageEvent

PATH = "/api/v1/usage/events"
CLOUD = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


@pytest.fixture(autouse=True)
def tokens(journal, alice):
    return journal.meters.create(code="tokens")


def event(**told):
    return {"id": "e1", "meter": "tokens", "user_id": "alice", **told}


def post(api, body, content_type="application/json", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = api.post(PATH, body, content_type=content_type, headers=headers)
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else "", answer


BODIES = {
    "nothing": (b"", 400, "invalid_json"),
    "cut off": (b'{"id": "e1"', 400, "invalid_json"),
    "not UTF-8": (b'{"id": "\xff"}', 400, "invalid_json"),
    "lone surrogate": (b'{"id": "\\ud800", "meter": "tokens"}', 400, "invalid_json"),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, 400, "invalid_event"),
    "deep properties": (
        b'{"id": "e1", "meter": "tokens", "user_id": "alice", "properties": {"a": '
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}}",
        400,
        "invalid_json",
    ),
    "a list": (b"[]", 400, "invalid_event"),
    "a number": (b"1", 400, "invalid_event"),
    "no events": (b'{"events": []}', 400, "invalid_event"),
    "events no list": (b'{"events": 1}', 400, "invalid_event"),
    "unknown beside events": (b'{"events": [], "x": 1}', 400, "invalid_event"),
}


@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES)
def test_unreadable_body_is_refused_as_a_whole(api, body, status, code):
    assert post(api, body)[:2] == (status, code)


def test_a_list_under_an_escaped_name_is_a_list(api):
    body = json.dumps({"events": [event(), event(id="e2")]}).replace("events", "\\u0065vents")

    answer = post(api, body.encode())[2]

    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


def test_a_single_event_may_speak_of_events(api):
    answer = post(api, event(properties={"events": 3}))[2]

    assert [one["status"] for one in answer.json()["events"]] == ["accepted"]


QUANTITIES = {
    "1e400": "invalid_quantity",
    "1e99999": "invalid_quantity",
    "-1": "invalid_quantity",
    "-0.000000000001": "invalid_quantity",
    "9" * 10_000: "invalid_quantity",
    "0." + "1" * 13: "invalid_quantity",
    "true": "invalid_quantity",
    "[]": "invalid_quantity",
    "{}": "invalid_quantity",
    '"NaN"': "invalid_quantity",
    '"Infinity"': "invalid_quantity",
    '""': "invalid_quantity",
    '" 1"': "invalid_quantity",
    '"1_000"': "invalid_quantity",
    '"\u0661"': "invalid_quantity",
    "NaN": "invalid_json",
}


@pytest.mark.parametrize(("text", "code"), QUANTITIES.items(), ids=lambda value: value[:20])
def test_quantity_is_a_number_from_zero_on(api, text, code):
    body = json.dumps(event(quantity=0)).replace("0}", f"{text}}}").encode()
    status, found, _ = post(api, body)
    assert (status in (400, 422), found) == (True, code)
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("99999999999999999999999999.999999999999", "99999999999999999999999999.999999999999"),
        ('"0.000000000001"', "0.000000000001"),
        ("1e25", "10000000000000000000000000.000000000000"),
        ("0", "0.000000000000"),
        ("-0.0", "0.000000000000"),
        ("null", "1.000000000000"),
    ],
)
def test_quantity_is_kept_to_the_digit(api, text, kept):
    body = json.dumps(event(quantity=7)).replace("7}", f"{text}}}").encode()
    assert post(api, body)[0] == 200
    assert f"{UsageEvent.objects.get().quantity.copy_abs():f}" == kept


EVENTS = {
    "no id": ({"id": ""}, "invalid_event"),
    "id no text": ({"id": 5}, "invalid_event"),
    "long id": ({"id": "x" * 256}, "invalid_event"),
    "NUL in the id": ({"id": "a\u0000"}, "invalid_event"),
    "NUL in the user": ({"user_id": "a\u0000"}, "invalid_event"),
    "NUL in the meter": ({"meter": "\u0000"}, "invalid_event"),
    "NUL in the source": ({"source": "\u0000"}, "invalid_event"),
    "NUL in the api": ({"api": "\u0000"}, "invalid_event"),
    "NUL in the key": ({"key": "\u0000"}, "invalid_event"),
    "NUL in properties": ({"properties": {"a": "\u0000"}}, "invalid_event"),
    "properties a list": ({"properties": []}, "invalid_event"),
    "properties a text": ({"properties": "a"}, "invalid_event"),
    "too large": ({"properties": {"a": "x" * 4090}}, "properties_too_large"),
    "unknown field": ({"qty": 1}, "invalid_event"),
    "no offset": ({"occurred_at": "2026-11-21T12:00:00"}, "invalid_event"),
    "no date": ({"occurred_at": "2026-02-30T12:00:00Z"}, "invalid_event"),
    "before time": ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "too_old"),
    "after time": ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "in_the_future"),
    "a number for a time": ({"occurred_at": True}, "invalid_event"),
    "lone surrogate in the user": ({"user_id": "x", "api": "x" * 300}, "invalid_event"),
}


@pytest.mark.parametrize(("told", "code"), EVENTS.values(), ids=EVENTS)
def test_bad_event_is_refused_and_the_other_one_counted(api, told, code):
    status, _, answer = post(api, {"events": [event(**told), event(id="good")]})
    receipts = [(one["status"], one["code"]) for one in answer.json()["events"]]
    assert (status, receipts) == (200, [("rejected", code), ("accepted", "")])
    assert UsageEvent.objects.get().event_id == "good"


def test_numbers_in_properties_never_break_the_database(api):
    body = json.dumps(event(properties={"a": 7})).replace("7}", "1e-20000}").encode()
    assert post(api, body)[0] == 200
    assert UsageEvent.objects.get().properties == {"a": 0.0}


def test_last_of_two_fields_of_one_name_counts(api):
    body = b'{"id":"e1","meter":"tokens","user_id":"alice","quantity":1,"quantity":3}'
    assert post(api, body)[0] == 200
    assert UsageEvent.objects.get().quantity == 3


def test_more_than_a_thousand_events_are_too_many(api):
    status, code, _ = post(api, {"events": [event(id=f"e{n}") for n in range(1001)]})
    assert (status, code) == (413, "too_many_events")
    assert not UsageEvent.objects.exists()


def test_body_of_30_mb_is_too_large(api):
    assert post(api, b" " * 30_000_000)[:2] == (413, "body_too_large")


def test_other_kinds_of_body_are_not_understood(api):
    assert post(api, b"<event/>", "text/xml")[:2] == (415, "unsupported_media_type")


CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/worker",
    "type": "tokens",
    "subject": "alice",
    "time": "2026-11-21T00:00:00Z",
}


@pytest.mark.parametrize(
    "told",
    [
        {"specversion": "0.3"},
        {"source": ""},
        {"subject": 5},
        {"data": "text"},
        {"data_base64": "e30="},
        {"datacontenttype": "text/xml", "data": {}},
        {"data": {"quantity": -1}},
        {"time": "today"},
    ],
)
def test_bad_cloud_event_is_refused(api, told):
    assert post(api, {**CLOUD_EVENT, **told}, CLOUD)[0] == 422
    assert post(api, [{**CLOUD_EVENT, **told}], BATCH)[2].json()["rejected"] == 1
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("body", [b"[]", b"{}", b"1", b"[1"])
def test_bad_batch_is_refused_as_a_whole(api, body):
    assert post(api, body, BATCH)[0] == 400


def test_bad_binary_event_is_refused(api):
    headers = {f"ce-{name}": value for name, value in CLOUD_EVENT.items()}
    assert post(api, b"{", **headers)[:2] == (400, "invalid_json")
    assert post(api, b"[]", **headers)[0] in (400, 422)
    del headers["ce-subject"]
    assert post(api, b"{}", **headers)[:2] == (422, "invalid_event")
    assert not UsageEvent.objects.exists()
