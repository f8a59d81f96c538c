"""Working runs off, in slices that end before the queue thinks the task lost."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from billing.models import Drift, DriftState, ReconciliationRun, RunState
from billing.reconciliation import listing, steps
from billing.reconciliation.pace import Pace, usual_pace
from billing.reconciliation.repair import work_repairs
from billing.reconciliation.report import send_reports
from billing.reconciliation.runs import TASK, Hold, LeaseLost, claim_run
from billing.reconciliation.trust import NotBelieved
from config.errors import DomainError, Unavailable
from keystore.correlation import bound
from keystore.doorbell import ring

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 25.0
LONGEST_TROUBLE = timedelta(minutes=15)  # then the run fails and says why
WAIT_IN_TROUBLE = timedelta(seconds=20)
WAIT_FOR_REPAIRS = timedelta(seconds=2)
Clock = Callable[[], datetime]


def work_reconciliations(
    *, clock: Clock, seconds: float = BUDGET_SECONDS, pace: Pace | None = None
) -> int:
    """Bring runs and repairs on, send reports; how many steps and repairs were done."""
    pace = pace or usual_pace()
    stop_at = time.monotonic() + seconds
    done = work_repairs(clock=clock, pace=pace, stop_at=stop_at)
    while time.monotonic() < stop_at:
        hold = claim_run(pace=pace, at=clock())
        if hold is None:
            break
        with bound(hold.run.request_id):
            done += _advance(hold, clock, stop_at)
        done += work_repairs(clock=clock, pace=pace, stop_at=stop_at)
    send_reports(clock=clock)
    if time.monotonic() >= stop_at:
        ring(TASK)  # there is more
    return done


def _advance(hold: Hold, clock: Clock, stop_at: float) -> int:
    """Steps of one run until it ends, waits, or the time is over."""
    done = 0
    try:
        while time.monotonic() < stop_at and hold.run.step != steps.REPAIR:
            hold.renew(clock())
            steps.STEPS[hold.run.step](hold, clock)
            done += 1
        if hold.run.step == steps.REPAIR:
            _finish_or_wait(hold, clock())
        else:
            _let_go(hold, clock())
    except LeaseLost:
        logger.info("reconciliation.let_go", extra={"run": hold.run.public_id})
    except Unavailable as problem:
        _trouble(hold, problem.message, clock())
    except NotBelieved as problem:
        _fail(hold, str(problem), clock())
    except DomainError as problem:
        _fail(hold, problem.message, clock())
    return done


def _finish_or_wait(hold: Hold, at: datetime) -> None:
    """A run that repairs ends when its repairs have; they are work of their own."""
    waiting = Drift.objects.filter(
        run=hold.run, state=DriftState.OPEN, repair_wanted_at__isnull=False
    )
    if waiting.exists():
        hold.save(lease_until=at + WAIT_FOR_REPAIRS)
        return
    hold.save(state=RunState.DONE, finished_at=at, lease_until=None)
    _tell(hold.run)


def _let_go(hold: Hold, at: datetime) -> None:
    """The next slice, of whichever worker, goes on at once."""
    hold.save(lease_until=at)


def _trouble(hold: Hold, why: str, at: datetime) -> None:
    """Stripe does not answer: wait, and give up after a while. Nothing was concluded."""
    since = hold.run.troubled_since or at
    if at - since >= LONGEST_TROUBLE:
        minutes = int(LONGEST_TROUBLE.total_seconds() // 60)
        _fail(hold, f"Stripe gave no answer for {minutes} minutes: {why}", at)
        return
    logger.warning("reconciliation.waits", extra={"run": hold.run.public_id, "why": why})
    _save_unless_lost(hold, troubled_since=since, problem=why, lease_until=at + WAIT_IN_TROUBLE)


def _fail(hold: Hold, why: str, at: datetime) -> None:
    _save_unless_lost(hold, state=RunState.FAILED, problem=why, finished_at=at, lease_until=None)
    listing.forget(batch=hold.run.public_id)
    _tell(hold.run)


def _save_unless_lost(hold: Hold, **changes: object) -> None:
    try:
        hold.save(**changes)
    except LeaseLost:
        logger.info("reconciliation.let_go", extra={"run": hold.run.public_id})


def _tell(run: ReconciliationRun) -> None:
    run.refresh_from_db()  # repairs have counted beside us
    log = logger.error if run.state == RunState.FAILED else logger.info
    log(
        "reconciliation.ended",
        extra={
            "run": run.public_id,
            "state": run.state,
            "compared": run.compared,
            "found": run.found,
            "repaired": run.repaired,
            "why": run.problem,
        },
    )
