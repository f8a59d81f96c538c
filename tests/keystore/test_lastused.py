from datetime import timedelta
from threading import Event, Thread

import pytest
from django.db import connection, transaction

from keystore.lastused import UseNotes
from keystore.models import ApiKey
from keystore.services import issue_key
from tests.conftest import NOON

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def key(journal, alice):
    return issue_key(project=journal, owner=alice, actor="system", at=NOON).key


@pytest.fixture
def notes(monkeypatch):
    """Notes without the thread: the test itself says when they are written."""
    notes = UseNotes()
    notes._thread = Thread()
    return notes


def last_used():
    return ApiKey.objects.get().last_used_at


def test_noting_a_use_asks_the_database_nothing(key, notes, django_assert_num_queries):
    with django_assert_num_queries(0):
        notes.note(key.pk, NOON)


def test_latest_use_is_written(key, notes):
    notes.note(key.pk, NOON)
    notes.note(key.pk, LATER)

    assert notes.flush() == 1
    assert last_used() == LATER
    assert notes.flush() == 0


def test_process_that_writes_late_does_not_turn_time_back(key, notes):
    notes.note(key.pk, LATER)
    notes.flush()
    notes.note(key.pk, NOON)
    notes.flush()

    assert last_used() == LATER


@pytest.mark.django_db(transaction=True)
def test_locked_row_is_left_out(key, notes):
    locked, written = Event(), Event()

    def hold_the_row():
        with transaction.atomic():
            ApiKey.objects.select_for_update().get(pk=key.pk)
            locked.set()
            written.wait(60)
        connection.close()

    holder = Thread(target=hold_the_row)
    holder.start()
    assert locked.wait(60)
    notes.note(key.pk, NOON)

    assert notes.flush() == 0
    written.set()
    holder.join()


def test_many_keys_are_written_at_once_each_with_its_own_instant(
    journal, alice, notes, django_assert_num_queries
):
    uses = {
        issue_key(project=journal, owner=alice, actor="system", at=NOON).key.pk: NOON
        + timedelta(seconds=number)
        for number in range(5)
    }
    for key_id, at in uses.items():
        notes.note(key_id, at)

    with django_assert_num_queries(1):
        assert notes.flush() == len(uses)

    assert dict(ApiKey.objects.values_list("pk", "last_used_at")) == uses
