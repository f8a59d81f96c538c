"""What became of the periodic jobs."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from config.celery import app
from keystore import jobs
from keystore.models import JobRun
from keystore.tasks import wipe_old_claims
from tests.conftest import NOON

NAME = "keystore.tasks.wipe_old_claims"
HOURLY = {NAME: 3600.0}


@pytest.fixture(autouse=True)
def _nothing_ran_yet(db):
    """A worker that another test started may have written down its last run late."""
    JobRun.objects.all().delete()


def finish(at=NOON, *, failed=False, result=""):
    jobs.finish(name=NAME, failed=failed, result=result, milliseconds=5, at=at)


def test_a_real_run_leaves_its_outcome(db):
    wipe_old_claims.apply().get()

    row = JobRun.objects.get()
    assert (row.name, row.outcome, row.result, row.runs) == (NAME, "done", "0", 1)
    assert row.succeeded_at == row.finished_at
    assert row.milliseconds is not None


def test_a_run_that_fails_says_why_and_is_counted(db, monkeypatch):
    def burn(**_):
        raise ValueError("no luck")

    finish()
    monkeypatch.setattr("keystore.handover.wipe_old_claims", burn)
    for _ in range(2):
        wipe_old_claims.apply()

    row = JobRun.objects.get()
    assert (row.outcome, row.failures_in_a_row, row.runs) == ("failed", 2, 3)
    assert "no luck" in row.result
    assert row.succeeded_at == NOON


def test_a_success_ends_the_row_of_failures(db):
    finish(failed=True)
    finish()

    assert JobRun.objects.get().failures_in_a_row == 0


def test_a_job_runs_although_nothing_can_be_recorded(db, monkeypatch):
    def refuse(**_):
        raise OperationalError("the database is away")

    monkeypatch.setattr("keystore.jobs.begin", refuse)
    monkeypatch.setattr("keystore.jobs.finish", refuse)

    assert wipe_old_claims.apply().get() == 0


def test_a_task_that_beat_does_not_ring_leaves_nothing(db):
    @app.task(name="tests.rung")
    def rung():
        return 1

    rung.apply().get()
    app.tasks.unregister("tests.rung")

    assert JobRun.objects.count() == 0


@pytest.mark.parametrize(("minutes", "late"), [(121, 0), (122, 1)])
def test_a_job_is_overdue_after_two_intervals_and_a_minute(db, minutes, late):
    finish()

    found = jobs.overdue(at=NOON + timedelta(minutes=minutes, microseconds=-1), schedule=HOURLY)
    assert len(found) == late


def test_a_job_that_keeps_failing_is_overdue(db):
    finish()
    finish(NOON + timedelta(hours=3), failed=True)

    (late,) = jobs.overdue(at=NOON + timedelta(hours=3), schedule=HOURLY)
    assert (late.since, late.failed) == (NOON, True)


def test_a_job_of_which_nothing_is_known_is_overdue_until_beat_expects_it(db):
    assert len(jobs.overdue(at=NOON, schedule=HOURLY)) == 1
    jobs.expect(names=[NAME], at=NOON)

    assert jobs.overdue(at=NOON, schedule=HOURLY) == []
    assert len(jobs.overdue(at=NOON + timedelta(hours=3), schedule=HOURLY)) == 1
