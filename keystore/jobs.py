"""Which periodic job ran when, how it ended, and which did not run.

One statement each, so that a job every ten seconds costs next to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from keystore.models import JobOutcome, JobRun

LONGEST_RESULT = 1000
SLACK = timedelta(minutes=1)  # a worker may be busy, beat may be restarting

BEGIN = """
INSERT INTO keystore_jobrun AS job
    (name, outcome, started_at, result, runs, failures_in_a_row)
VALUES (%(name)s, 'running', %(at)s, '', 0, 0)
ON CONFLICT (name) DO UPDATE
    SET outcome = 'running', started_at = EXCLUDED.started_at, finished_at = NULL
"""
FINISH = """
INSERT INTO keystore_jobrun AS job
    (name, outcome, started_at, finished_at, succeeded_at, milliseconds, result, runs,
     failures_in_a_row)
VALUES
    (%(name)s, %(outcome)s, %(at)s, %(at)s, %(succeeded_at)s, %(milliseconds)s, %(result)s, 1,
     %(failures)s)
ON CONFLICT (name) DO UPDATE
    SET outcome = EXCLUDED.outcome, finished_at = EXCLUDED.finished_at,
        succeeded_at = COALESCE(EXCLUDED.succeeded_at, job.succeeded_at),
        milliseconds = EXCLUDED.milliseconds, result = EXCLUDED.result, runs = job.runs + 1,
        failures_in_a_row =
            CASE WHEN EXCLUDED.failures_in_a_row = 0 THEN 0 ELSE job.failures_in_a_row + 1 END
"""
# By the database's clock: beats on two machines may disagree about the time. A tick comes some
# milliseconds early at times; a tenth of the interval is left for that, a minute at most.
RING = """
INSERT INTO keystore_jobrun AS job
    (name, outcome, started_at, rung_at, result, runs, failures_in_a_row)
VALUES (%(name)s, 'running', statement_timestamp(), statement_timestamp(), '', 0, 0)
ON CONFLICT (name) DO UPDATE SET rung_at = EXCLUDED.rung_at
    WHERE job.rung_at IS NULL
       OR job.rung_at <= EXCLUDED.rung_at - %(apart)s * interval '1 second'
"""


@dataclass(frozen=True)
class Overdue:
    """A job that should have succeeded by now; `since` None: nothing was ever heard of it."""

    name: str
    every_seconds: float
    since: datetime | None
    failed: bool


def expect(*, names: list[str], at: datetime) -> None:
    """Note that these jobs are to run from now on; what is known of them stays."""
    rows = [JobRun(name=name, outcome=JobOutcome.RUNNING, started_at=at) for name in names]
    JobRun.objects.bulk_create(rows, ignore_conflicts=True)


def claim_ring(*, name: str, every_seconds: float) -> bool:
    """Whether the caller is the one who rings this job now; False: somebody just did."""
    apart = every_seconds - min(0.1 * every_seconds, 60)
    with connection.cursor() as cursor:
        cursor.execute(RING, {"name": name, "apart": apart})
        return bool(cursor.rowcount == 1)


def last_rings(*, names: list[str]) -> dict[str, datetime]:
    """When each of these jobs was last rung, or since when it is expected to be."""
    rows = JobRun.objects.filter(name__in=names).values_list("name", "rung_at", "started_at")
    return {name: rung_at or started_at for name, rung_at, started_at in rows}


def begin(*, name: str, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BEGIN, {"name": name, "at": at})


def finish(*, name: str, failed: bool, result: str, milliseconds: int, at: datetime) -> None:
    values: dict[str, str | int | datetime | None] = {
        "name": name,
        "outcome": JobOutcome.FAILED if failed else JobOutcome.DONE,
        "at": at,
        "succeeded_at": None if failed else at,
        "milliseconds": milliseconds,
        "result": result.replace("\x00", "")[:LONGEST_RESULT],
        "failures": int(failed),
    }
    with connection.cursor() as cursor:
        cursor.execute(FINISH, values)


def overdue(*, at: datetime, schedule: Mapping[str, float]) -> list[Overdue]:
    """Jobs of the schedule that have not succeeded for two intervals and a minute."""
    rows = {row.name: row for row in JobRun.objects.filter(name__in=schedule)}
    found = []
    for name, seconds in schedule.items():
        row = rows.get(name)
        since = (row.succeeded_at or row.started_at) if row else None
        if since is None or since < at - latest_after(seconds):
            failed = row is not None and row.outcome == JobOutcome.FAILED
            found.append(Overdue(name, seconds, since, failed))
    return found


def latest_after(every_seconds: float) -> timedelta:
    """How long after a success the next one must have come."""
    return timedelta(seconds=2 * every_seconds) + SLACK
