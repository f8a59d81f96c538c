"""Who takes access away answers after every lease is over; the trigger says who that is."""

import pytest
from django.db import connections, transaction

from config.clock import now
from keystore.services import disable_key, issue_key, revoke_key


@pytest.fixture
def waits(settings, transactional_db, monkeypatch):
    """How often somebody waited, on a connection that was made with the cache on."""
    settings.PUSH_CACHE = True
    connections["default"].close()
    waited = []
    monkeypatch.setattr("keystore.withdrawals.time.sleep", waited.append)
    yield waited
    connections["default"].close()
    connections["default"].execute_wrappers.clear()


@pytest.fixture
def key(waits, journal, alice):
    return issue_key(project=journal, owner=alice, actor="system", at=now()).key


def test_revocation_waits_once(key, waits):
    revoke_key(key=key, actor="staff:sam", reason="leaked", at=now())

    assert waits == [0.035]


def test_new_key_does_not_wait(key, waits):
    assert waits == []


def test_it_waits_after_the_commit(key, waits):
    with transaction.atomic():
        disable_key(key=key, actor="staff:sam", reason="odd use", at=now())
        assert waits == []

    assert waits == [0.035]


def test_nobody_waits_for_what_was_undone(key, waits):
    with transaction.atomic():
        revoke_key(key=key, actor="staff:sam", reason="leaked", at=now())
        transaction.set_rollback(True)

    assert waits == []


@pytest.mark.parametrize(
    "statement",
    [
        "update keystore_apikey set revoked_at = now()",
        "update keystore_app set is_active = false",
        "delete from keystore_consumer where external_id = 'bob'",
        "truncate entitlements_answer",
    ],
)
def test_no_writer_can_forget_to_wait(statement, key, backend, bob, waits):
    with connections["default"].cursor() as cursor:
        cursor.execute(statement)

    assert waits == [0.035]


def test_last_use_and_the_name_of_a_consumer_take_nothing_away(key, alice, waits):
    alice.name = "Alice"
    alice.save()
    type(key).objects.update(last_used_at=now())

    assert waits == []


def test_without_the_cache_nobody_waits(settings, transactional_db, journal, alice, monkeypatch):
    waited = []
    monkeypatch.setattr("keystore.withdrawals.time.sleep", waited.append)
    key = issue_key(project=journal, owner=alice, actor="system", at=now()).key
    revoke_key(key=key, actor="staff:sam", reason="leaked", at=now())

    assert waited == []
