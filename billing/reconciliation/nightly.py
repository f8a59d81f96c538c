"""The run that beat starts: one per UTC day, the row itself is the guard."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, transaction

from billing.models import ReconciliationRun, RunMode
from billing.reconciliation.runs import RunUnderWay, start_run

ACTOR = "system"


def start_nightly(*, at: datetime) -> ReconciliationRun | None:
    """Start today's run when its hour has come, late if we were down; None if there is nothing
    to start.
    """
    today = at.astimezone(UTC).date()
    if not settings.RECONCILIATION_ENABLED:
        return None
    if at.astimezone(UTC).hour < settings.RECONCILIATION_SCHEDULE_HOUR:
        return None
    if ReconciliationRun.objects.filter(scheduled_on=today).exists():
        return None
    kinds = settings.RECONCILIATION_REPAIR_KINDS
    try:
        with transaction.atomic():
            run = start_run(
                project=None,
                mode=RunMode.REPAIR if kinds else RunMode.DRY_RUN,
                repair_kinds=kinds,
                days_back=settings.RECONCILIATION_DAYS_BACK,
                actor=ACTOR,
                reason="nightly",
                at=at,
            )
            ReconciliationRun.objects.filter(pk=run.pk).update(scheduled_on=today)
    except (IntegrityError, RunUnderWay):
        return None  # another beat was first, or somebody's run is under way: the next tick
    return run
