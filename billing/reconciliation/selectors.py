"""Reads of runs and differences: for the admin, the API, metrics and the overview."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Q, QuerySet

from billing.models import Drift, DriftState, ReconciliationRun, RunState
from billing.reconciliation.kinds import DriftKind
from keystore.models import Project

LATE = timedelta(hours=26)  # a day and what a run may take


@dataclass(frozen=True)
class KindCount:
    found: int
    open: int
    repaired: int
    failed: int


@dataclass(frozen=True)
class Health:
    """`late`: nothing was compared to the end for more than a day, though it should be."""

    latest: ReconciliationRun | None
    open_drifts: int
    failed_repairs: int
    late: bool

    @property
    def is_well(self) -> bool:
        ended_well = self.latest is not None and self.latest.state != RunState.FAILED
        return ended_well and not (self.open_drifts or self.failed_repairs or self.late)


def runs_of(*, project: Project | None = None) -> QuerySet[ReconciliationRun]:
    """Newest first; of one project those that were started for it."""
    rows = ReconciliationRun.objects.select_related("project").order_by("-pk")
    return rows if project is None else rows.filter(project=project)


def latest_run(*, project: Project | None = None) -> ReconciliationRun | None:
    """The newest run that ended, well or not."""
    return runs_of(project=project).filter(finished_at__isnull=False).first()


def open_drifts_by_kind(*, project: Project | None = None) -> dict[str, int]:
    """How many differences wait, of every kind: those without any are 0."""
    rows = Drift.objects.filter(state=DriftState.OPEN)
    rows = rows if project is None else rows.filter(project=project)
    counted = dict(rows.values_list("kind").annotate(n=Count("pk")).order_by("kind"))
    return {kind: counted.get(kind, 0) for kind in DriftKind.values}


def counts_by_kind(*, run: ReconciliationRun) -> dict[str, KindCount]:
    """What a run found, kind by kind, and what became of it."""
    rows = Drift.objects.filter(run=run).values_list("kind").order_by("kind")
    counted = rows.annotate(
        found=Count("pk"),
        open=Count("pk", filter=Q(state=DriftState.OPEN)),
        repaired=Count("pk", filter=Q(state=DriftState.REPAIRED)),
        failed=Count("pk", filter=Q(state=DriftState.FAILED)),
    )
    by_kind = {kind: KindCount(*numbers) for kind, *numbers in counted}
    return {kind: by_kind[kind] for kind in DriftKind.values if kind in by_kind}


def drifts_of(*, run: ReconciliationRun) -> QuerySet[Drift]:
    return Drift.objects.filter(run=run).select_related("consumer", "project").order_by("pk")


def health(*, at: datetime) -> Health:
    """In what state reconciliation is, for the first page and for alerts."""
    ended = ReconciliationRun.objects.filter(state=RunState.DONE, finished_at__gte=at - LATE)
    failed = Drift.objects.filter(state=DriftState.FAILED, run=latest_run())
    return Health(
        latest=latest_run(),
        open_drifts=Drift.objects.filter(state=DriftState.OPEN).count(),
        failed_repairs=failed.count(),
        late=settings.RECONCILIATION_ENABLED and not ended.exists(),
    )
