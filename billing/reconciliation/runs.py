"""Runs as rows: begun, stopped, and held by one worker at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from billing.models import Drift, ReconciliationRun, RunMode, RunState
from billing.reconciliation.causes import Told
from billing.reconciliation.kinds import EVERY_KIND, DriftKind
from billing.reconciliation.pace import Pace
from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.correlation import current_request_id
from keystore.doorbell import ring
from keystore.models import Project

LEASE = timedelta(seconds=60)
RENEWED_AFTER = timedelta(seconds=10)  # so the longest read of a page ends within the lease
CLAIM_LOCK = 7_203  # held for the moment of a claim, so that two workers see each other
TASK = "billing.tasks.work_reconciliations"
UNFINISHED = (RunState.WAITING, RunState.RUNNING)
LONGEST_DAYS_BACK = 3650


class RunUnderWay(Conflict):
    code = "reconciliation_under_way"


class LeaseLost(Exception):
    """The run was stopped, or another worker took it over: write nothing."""


@dataclass
class Hold:
    """A run that this worker holds, and what it has read for it so far."""

    run: ReconciliationRun
    pace: Pace
    lease_until: datetime
    told: Told | None = None
    listed_from: dict[str, datetime] = field(default_factory=dict)

    def save(self, **changes: Any) -> None:
        """Move the run on, in the transaction of the step's own writes. Raises LeaseLost."""
        rows = ReconciliationRun.objects.filter(
            pk=self.run.pk, state=RunState.RUNNING, lease_until=self.lease_until
        )
        if not rows.update(**changes):
            raise LeaseLost
        self.lease_until = changes.get("lease_until", self.lease_until)
        for name, value in changes.items():
            setattr(self.run, name, value)

    def renew(self, at: datetime) -> None:
        """Before each step; written when `RENEWED_AFTER` of the lease is used up."""
        if self.lease_until - at < LEASE - RENEWED_AFTER:
            self.save(lease_until=_later(at + LEASE, self.lease_until))


def _later(wanted: datetime, held: datetime) -> datetime:
    """Never the same instant again: the lease tells one holder from the next."""
    return max(wanted, held + timedelta(microseconds=1))


@transaction.atomic
def start_run(
    *,
    project: Project | None,
    mode: RunMode,
    repair_kinds: Sequence[str] = (),
    days_back: int | None,
    actor: str,
    reason: str = "",
    at: datetime,
) -> ReconciliationRun:
    """Write down that a comparison is wanted; the queue does it.

    `repair_kinds` may hold "all". Raises RunUnderWay when one of the same reach is unfinished.
    """
    kinds = known_kinds(repair_kinds)
    _check(mode, kinds, days_back)
    _lock()
    before = ReconciliationRun.objects.filter(state__in=UNFINISHED, project=project).first()
    if before is not None:
        raise RunUnderWay(f"{before.public_id} is under way: wait for its end, or stop it.")
    run = ReconciliationRun.objects.create(
        project=project,
        mode=mode,
        repair_kinds=kinds if mode == RunMode.REPAIR else [],
        days_back=days_back,
        started_by=actor,
        request_id=current_request_id()[:64],
        created_at=at,
    )
    audit.record(
        actor=actor,
        act="reconciliation.start",
        target=run,
        after={"mode": mode, "repair_kinds": run.repair_kinds, "days_back": days_back},
        reason=reason,
    )
    transaction.on_commit(partial(ring, TASK))
    return run


def _check(mode: RunMode, kinds: Sequence[str], days_back: int | None) -> None:
    if mode == RunMode.REPAIR and not kinds:
        raise InvalidInput("Name the kinds to repair, or 'all'; or only look (dry_run).")
    if days_back is not None and not 1 <= days_back <= LONGEST_DAYS_BACK:
        raise InvalidInput(f"days_back is between 1 and {LONGEST_DAYS_BACK}.")


def known_kinds(names: Sequence[str]) -> list[str]:
    """The kinds by their names, "all" spelt out. Raises InvalidInput for one that is none."""
    if EVERY_KIND in names:
        return list(DriftKind.values)
    unknown = sorted(set(names) - set(DriftKind.values))
    if unknown:
        raise InvalidInput(
            f"{', '.join(unknown)}: no kind of difference. Known: {', '.join(DriftKind.values)}."
        )
    return sorted(set(names))


@transaction.atomic
def stop_run(*, run: ReconciliationRun, actor: str, reason: str, at: datetime) -> bool:
    """End a run where it is; what it found stays. False if it had ended before."""
    done = ReconciliationRun.objects.filter(pk=run.pk, state__in=UNFINISHED).update(
        state=RunState.STOPPED, problem=reason, finished_at=at, lease_until=None
    )
    if done:
        Drift.objects.filter(run=run, repair_wanted_at__isnull=False, state="open").update(
            repair_wanted_at=None, lease_until=None
        )
        audit.record(actor=actor, act="reconciliation.stop", target=run, reason=reason)
    return bool(done)


@transaction.atomic
def claim_run(*, pace: Pace, at: datetime) -> Hold | None:
    """Take the oldest unfinished run, unless any run is being worked on: one at a time keeps
    us below Stripe's rate limit.
    """
    _lock()
    unfinished = ReconciliationRun.objects.filter(state__in=UNFINISHED)
    if unfinished.filter(lease_until__gt=at).exists():
        return None
    run = unfinished.filter(Q(lease_until=None) | Q(lease_until__lte=at)).order_by("pk").first()
    if run is None:
        return None
    lease_until = _later(at + LEASE, run.lease_until or at)
    ReconciliationRun.objects.filter(pk=run.pk).update(
        state=RunState.RUNNING, started_at=run.started_at or at, lease_until=lease_until
    )
    run.refresh_from_db()
    return Hold(run=run, pace=pace, lease_until=lease_until)


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
