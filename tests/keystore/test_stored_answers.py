from datetime import timedelta

import pytest

from keystore import stored_answers
from keystore.callers import Caller, EndUser
from keystore.errors import OtherRequest, StillRunning
from keystore.models import StoredAnswer
from tests.conftest import NOON


def calling(app):
    return Caller(project=app.project, app=app, key=None)


def begin(app, *, request_hash="a" * 64, at=NOON):
    return stored_answers.begin(caller=calling(app), key="k1", request_hash=request_hash, at=at)


def test_second_request_waits_while_the_first_one_runs(backend):
    assert begin(backend) is None
    with pytest.raises(StillRunning):
        begin(backend, at=NOON + timedelta(seconds=59))


def test_request_that_died_frees_its_key_after_a_minute(backend):
    begin(backend)
    assert begin(backend, at=NOON + timedelta(seconds=60)) is None


def test_answer_is_kept_sealed_and_given_again(backend):
    begin(backend)
    stored_answers.finish(
        caller=calling(backend), key="k1", status=201, text='{"key": "lk_live_secret"}'
    )

    assert begin(backend) == stored_answers.KeptAnswer(201, '{"key": "lk_live_secret"}')
    assert "secret" not in StoredAnswer.objects.get().body


def test_key_belongs_to_one_request(backend):
    begin(backend)
    with pytest.raises(OtherRequest):
        begin(backend, request_hash="b" * 64)


def test_apps_do_not_share_idempotency_keys(journal, backend):
    begin(backend)
    assert begin(journal.apps.create(name="other")) is None


def test_answers_are_forgotten_after_thirty_days(backend):
    begin(backend)

    assert stored_answers.forget_old_answers(at=NOON + timedelta(days=30, seconds=-1)) == 0
    assert stored_answers.forget_old_answers(at=NOON + timedelta(days=30)) == 1


def test_users_share_idempotency_keys_with_nobody(journal, orbit, backend):
    begin(backend)
    users = [
        EndUser(journal, "ada", None),
        EndUser(journal, "bob", None),
        EndUser(orbit, "ada", None),
    ]
    for user in users:
        assert stored_answers.begin(caller=user, key="k1", request_hash="a" * 64, at=NOON) is None
    with pytest.raises(StillRunning):
        stored_answers.begin(caller=users[0], key="k1", request_hash="a" * 64, at=NOON)
