"""The letter about a run: sent when it found something or failed, to those whom it concerns."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Q
from django.urls import reverse

from billing.models import ReconciliationRun, RunState
from billing.reconciliation.selectors import counts_by_kind

logger = logging.getLogger(__name__)

STILL_NEWS = timedelta(hours=24)


def send_reports(*, clock: Callable[[], datetime]) -> int:
    """Write about runs that ended and were not written about; how many letters were sent."""
    if not settings.ALERT_EMAILS:
        return 0
    at = clock()
    worth_it = Q(state=RunState.FAILED) | Q(state=RunState.DONE, found__gt=0)
    due = ReconciliationRun.objects.filter(
        worth_it, reported_at=None, finished_at__gte=at - STILL_NEWS
    )
    return sum(_send(run, at) for run in due.order_by("pk"))


def _send(run: ReconciliationRun, at: datetime) -> bool:
    # Taken first: of two workers one writes. A letter that cannot be sent is due again.
    taken = ReconciliationRun.objects.filter(pk=run.pk, reported_at=None).update(reported_at=at)
    if not taken:
        return False
    try:
        send_mail(_subject(run), _text(run), None, settings.ALERT_EMAILS)
    except OSError as problem:
        logger.warning("reconciliation.mail_failed", extra={"why": repr(problem)})
        ReconciliationRun.objects.filter(pk=run.pk).update(reported_at=None)
        return False
    return True


def _subject(run: ReconciliationRun) -> str:
    if run.state == RunState.FAILED:
        return "Latchkey: the reconciliation with Stripe failed"
    return f"Latchkey: {run.found} differences with Stripe, {run.repaired} repaired"


def _text(run: ReconciliationRun) -> str:
    page = reverse("admin:billing_reconciliationrun_change", args=[run.pk])
    lines = [
        f"Run {run.public_id}, started by {run.started_by}, {run.project or 'all projects'}.",
        f"Compared {run.compared} objects, found {run.found} differences, repaired {run.repaired}.",
    ]
    if run.problem:
        lines.append(run.problem)
    lines += [
        f"  {kind}: {count.found} found, {count.open} open, {count.failed} not repaired"
        for kind, count in counts_by_kind(run=run).items()
    ]
    return "\n".join([*lines, "", f"{settings.PUBLIC_URL}{page}", ""])
