"""What memory answers is what PostgreSQL would answer, give or take nothing that was revoked.

`make prove` runs them longer: TRIALS, and PAUSE seconds for which a process is stopped.
"""

import os
import signal
import time
from datetime import timedelta

import pytest
import time_machine

from config.clock import now
from entitlements.services import revoke_feature
from keystore.services import disable_key, issue_key, revoke_key
from tests.hotway.conftest import call, environ_of
from tests.hotway.readers import ACCEPTED, ASKED, Readers, is_accepted

TRIALS = int(os.environ.get("TRIALS", "12"))
PAUSE = float(os.environ.get("PAUSE", "0.2"))
PROCESSES = 4


@pytest.fixture
def keys(journal, backend):
    terms = {"project": journal, "owner": backend, "scopes": ["*"], "actor": "system"}
    return [issue_key(at=now(), **terms) for _ in range(TRIALS + 1)]


@pytest.fixture
def door(hot, backend_key, alice, give):
    """Warm: the frames of both questions were seen."""
    give(alice)
    made = hot()
    assert all(is_accepted(made, backend_key) for _ in range(3))
    return made


def ask(door, key, user_id="alice"):
    query = f"user_id={user_id}"
    return call(door, environ_of("/api/v1/entitlements", query=query, HTTP_X_API_KEY=key))


def revoke_all(readers, keys, before=lambda number: None):
    """Revoke one key after another, each when every process holds it."""
    try:
        for number, issued in enumerate(keys[:-1]):
            readers.wait_until_warm(number)
            before(number)
            revoke_key(key=issued.key, actor="staff:sam", reason="a trial", at=now())
            readers.answered(number)
        time.sleep(0.05)
    finally:
        readers.stop()


def test_revoked_key_is_accepted_by_no_process_after_the_answer(door, keys):
    readers = Readers(door, [issued.plaintext for issued in keys], PROCESSES)
    revoke_all(readers, keys)
    print(f"{TRIALS} revocations, {readers.total(ASKED)} requests after them")  # noqa: T201

    assert readers.total(ASKED) >= TRIALS
    assert readers.total(ACCEPTED) == 0


def test_nor_when_every_notification_is_lost(door, keys, monkeypatch):
    monkeypatch.setattr("keystore.changebus.ChangeBus.drain", lambda bus: [])
    readers = Readers(door, [issued.plaintext for issued in keys], PROCESSES)
    revoke_all(readers, keys)

    assert readers.total(ASKED) >= TRIALS
    assert readers.total(ACCEPTED) == 0


def test_process_that_slept_long_answers_from_now(door, backend_key, keys):
    readers = Readers(door, [issued.plaintext for issued in keys[:2]], 1)
    readers.wait_until_warm(0)
    os.kill(readers.pids[0], signal.SIGSTOP)
    revoke_key(key=keys[0].key, actor="staff:sam", reason="a trial", at=now())
    readers.answered(0)
    time.sleep(PAUSE)
    os.kill(readers.pids[0], signal.SIGCONT)
    readers.wait_until_warm(1)
    readers.stop()

    assert readers.total(ASKED) == 1
    assert readers.total(ACCEPTED) == 0


def test_without_the_wait_an_old_answer_would_be_given(door, keys, monkeypatch):
    """The trial bites: leases last, no notification comes, and somebody is let in."""
    monkeypatch.setattr("keystore.pushcache.LEASE_SECONDS", 60.0)
    monkeypatch.setattr("keystore.changebus.ChangeBus.drain", lambda bus: [])
    readers = Readers(door, [issued.plaintext for issued in keys], PROCESSES)
    revoke_all(readers, keys)

    assert readers.total(ACCEPTED) > 0


@pytest.mark.parametrize("take", ["disable", "app", "feature", "rotate"])
def test_whatever_takes_away_is_seen_at_once(take, door, backend, backend_key, alice, exports):
    key = issue_key(project=backend.project, owner=backend, scopes=["*"], actor="s", at=now())
    before = ask(door, key.plaintext).told()
    assert ask(door, key.plaintext).told() == before
    if take == "disable":
        disable_key(key=key.key, actor="staff:sam", reason="odd", at=now())
    elif take == "app":
        backend.is_active = False
        backend.save()
    elif take == "rotate":
        from keystore.rotation import rotate_key

        nothing = timedelta(0)
        rotate_key(key=key.key, overlap=nothing, actor="staff:sam", reason="due", at=now())
    else:
        revoke_feature(
            consumer=alice,
            feature=exports,
            reason="a trial",
            revoked_by="sam",
            idempotency_key="1",
            actor="staff:sam",
            at=now(),
        )

    assert ask(door, key.plaintext).told() != before


def test_new_grant_is_seen_within_the_lease(door, backend_key, alice, journal, give):
    before = ask(door, backend_key).told()
    give(alice, feature=journal.features.create(code="more"))
    time.sleep(0.026)

    assert b'"more"' in ask(door, backend_key).body
    assert ask(door, backend_key).told() != before


def test_answer_that_runs_out_is_not_given_on(door, backend_key, bob, give):
    ends = now() + timedelta(hours=1)
    give(bob, valid_to=ends)
    assert b'"active":true' in ask(door, backend_key, "bob").body
    assert b'"active":true' in ask(door, backend_key, "bob").body

    with time_machine.travel(ends + timedelta(seconds=1)):
        assert b'"active":true' not in ask(door, backend_key, "bob").body


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_cut_connections_are_made_anew(cached, hot, backend_key, alice, give, postgres_connection):
    give(alice)
    door = hot(cached=cached)
    before = [ask(door, backend_key).told() for _ in range(3)]
    postgres_connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where pid <> pg_backend_pid() and backend_type = 'client backend'"
    )

    assert [ask(door, backend_key).told() for _ in range(3)] == before


def test_unreachable_postgres_is_503_with_when_to_come_back(door, backend_key, monkeypatch):
    from django.db import OperationalError

    from keystore.changebus import BusDown
    from keystore.lines import LineDown

    def down(error):
        def raise_it(*given, **named):
            raise error("cut off")

        return raise_it

    monkeypatch.setattr("keystore.changebus.ChangeBus.drain", down(BusDown))
    monkeypatch.setattr("keystore.lines.Lines.rows", down(LineDown))
    monkeypatch.setattr("keystore.authentication.find_key", down(OperationalError))
    reply = ask(door, backend_key)

    assert reply.status == "503 Service Unavailable"
    assert dict(reply.headers)["Retry-After"] == "5"
    monkeypatch.undo()
    assert ask(door, backend_key).status == "200 OK"
