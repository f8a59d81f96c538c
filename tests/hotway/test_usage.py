"""Single events before Django: nothing that a process keeps is believed."""

import json

import pytest

from config.clock import now
from config.wholebody import WholeBodies
from keystore.lines import LineDown, Lines
from keystore.services import revoke_key
from metering.models import QuotaBalance, UsageEvent, UsageKey
from tests.hotway.conftest import call, environ_of
from tests.metering.quota_cast import give as allow
from tests.metering.quota_cast import metered, sell

PATH = "/api/v1/usage/events"


@pytest.fixture
def calls(journal, alice):
    """Of which alice may use ten."""
    allow(alice, plan=sell(journal, "calls", limit=10))
    return metered(journal, "calls")


@pytest.fixture
def door(hot, calls, backend_key):
    """That knows the key, the user and the meter."""
    made = hot()
    for number in range(2):
        assert tell(made, backend_key, f"first-{number}").status == "200 OK"
    return made


def tell(door, key, event_id, **more):
    event = {"id": event_id, "meter": "calls", "user_id": "alice", **more}
    body = json.dumps(event).encode()
    return call(door, environ_of(PATH, method="POST", body=body, HTTP_X_API_KEY=key))


def only(door):
    """The door by itself: whatever it leaves to Django is an error."""

    def refuse(environ, start_response):
        raise AssertionError("this went to Django")

    door.django = refuse
    return door


def statuses(reply):
    return [one["status"] for one in json.loads(reply.body).get("events", [])]


def test_known_event_is_one_statement_that_counts(door, backend_key, monkeypatch):
    asked = []
    rows = Lines.rows
    monkeypatch.setattr(
        Lines, "rows", lambda self, name, *given: asked.append(name) or rows(self, name, *given)
    )
    assert statuses(tell(only(door), backend_key, "one", quantity=3)) == ["accepted"]
    assert statuses(tell(door, backend_key, "one", quantity="3.0")) == ["duplicate"]
    assert asked == [b"record_one", b"record_one"]
    assert (QuotaBalance.objects.get().used, UsageEvent.objects.count()) == (5, 3)


def test_key_that_was_revoked_records_nothing(hot, door, backend, backend_key):
    door.cache.close()  # whatever the cache would have heard
    key = backend.keys.get()
    revoke_key(key=key, actor="system", reason="", at=now())
    assert tell(door, backend_key, "late").status == "401 Unauthorized"
    assert not UsageKey.objects.filter(event_id="late").exists()


def test_limit_that_changed_holds_for_the_next_event(door, backend_key, journal, alice):
    allow(alice, key="more", plan=sell(journal, "calls", limit=100))
    assert statuses(tell(only(door), backend_key, "big", quantity=90)) == ["accepted"]
    assert QuotaBalance.objects.get().limit == 100


def test_meter_that_was_archived_takes_no_more(door, backend_key, calls):
    calls.archived_at = now()
    calls.save(update_fields=["archived_at"])
    reply = tell(door, backend_key, "late")
    assert (reply.status[:3], json.loads(reply.body)["code"]) == ("422", "unknown_meter")


def test_what_does_not_fit_leaves_nothing(door, backend_key):
    reply = tell(door, backend_key, "big", quantity=9)
    assert (reply.status[:3], json.loads(reply.body)["code"]) == ("422", "usage_exceeded")
    assert QuotaBalance.objects.get().used == UsageEvent.objects.count() == 2
    assert statuses(tell(only(door), backend_key, "big", quantity=8)) == ["accepted"]


def test_what_was_cut_off_leaves_nothing_even_if_it_looks_whole(door, backend_key):
    door.django = WholeBodies(door.django)
    event = json.dumps({"id": "cut", "meter": "calls", "user_id": "alice"}).encode()
    asked = environ_of(PATH, method="POST", body=event, HTTP_X_API_KEY=backend_key)

    reply = call(door, asked | {"CONTENT_LENGTH": str(len(event) + 1)})

    assert (reply.status[:3], json.loads(reply.body)["code"]) == ("400", "body_cut_off")
    assert not UsageEvent.objects.filter(event_id="cut").exists()


def test_check_that_may_have_taken_is_not_begun_anew(hot, calls, backend_key, monkeypatch):
    from django.db import OperationalError

    door = hot()
    taking = {"user_id": "alice", "feature_code": "calls", "consume": True}

    def take():
        body = json.dumps(taking).encode()
        environ = environ_of("/api/v1/check", method="POST", body=body, HTTP_X_API_KEY=backend_key)
        return call(door, environ)

    def lost(*given, **named):
        real(*given, **named)
        raise OperationalError("the reply was lost")

    assert take().status == "200 OK"
    from config.hotway import checks

    real = checks.check
    monkeypatch.setattr(checks, "check", lost)
    assert take().status == "503 Service Unavailable"
    assert QuotaBalance.objects.get().used == 2


def test_without_its_line_an_event_is_left_to_django(door, backend_key, monkeypatch):
    def down(*given):
        raise LineDown("gone")

    monkeypatch.setattr(Lines, "rows", down)
    assert statuses(tell(door, backend_key, "one")) == ["accepted"]
