"""Celery's side of the job table: each run of a periodic job leaves its outcome there.

A record that cannot be written is a log line, never a failed job.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.app.task import Task

from config.clock import now
from config.schedule import BEAT

logger = logging.getLogger(__name__)


@signals.beat_init.connect(weak=False)
def expect_jobs(**_: Any) -> None:
    """From now on a job that never runs is overdue, and not merely unknown."""
    from keystore import jobs  # Celery reads this file before the apps are loaded

    _quietly("beat", lambda: jobs.expect(names=list(BEAT), at=now()))


@signals.task_prerun.connect(weak=False)
def note_start(task: Task, **_: Any) -> None:
    from keystore import jobs

    if task.name in BEAT:
        task.request.latchkey_started = time.monotonic()
        _quietly(task.name, lambda: jobs.begin(name=task.name, at=now()))


@signals.task_postrun.connect(weak=False)
def note_end(task: Task, state: str, retval: object, **_: Any) -> None:
    from keystore import jobs

    if task.name not in BEAT:
        return
    started = getattr(task.request, "latchkey_started", None)
    spent = 0.0 if started is None else time.monotonic() - started
    failed = state != "SUCCESS"
    if failed:
        logger.error("job.failed", extra={"job": task.name, "why": repr(retval)})
    _quietly(
        task.name,
        lambda: jobs.finish(
            name=task.name,
            failed=failed,
            result="" if retval is None else str(retval) if not failed else repr(retval),
            milliseconds=round(spent * 1000),
            at=now(),
        ),
    )


def _quietly(name: str, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as problem:  # noqa: BLE001  whatever it is, the job itself must go on
        logger.warning("job.unrecorded", extra={"job": name, "why": repr(problem)})
