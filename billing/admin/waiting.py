"""What waits for somebody: counts that lead to their rows, the alarming ones in red."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Min, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from billing.models import (
    Adjustment,
    AdjustmentState,
    CourseState,
    Dispute,
    Drift,
    DriftState,
    DunningCourse,
    DunningStep,
    InboxEvent,
    InvariantCheck,
    Operation,
    ReconciliationRun,
    RefundRequest,
    RequestState,
    RunState,
)
from billing.models.operations import OPEN_STATES
from entitlements.models import Grant
from keystore.jobs import Overdue
from keystore.models import HookDelivery

SOON = timedelta(days=7)
LAG_IS_LONG = timedelta(minutes=5)
UNSETTLED_DISPUTES = ("needs_response", "warning_needs_response", "under_review")


@dataclass(frozen=True)
class Count:
    title: str
    number: Any
    link: str
    permission: str
    alarming: bool = False
    hint: str = ""


def counts_for(
    request: HttpRequest, *, at: datetime, overdue_jobs: Sequence[Overdue]
) -> list[Count]:
    """Those whose rows the user may see."""
    makers = (_stripe_counts, _money_counts, _care_counts)
    counts = [count for make in makers for count in make(at)]
    counts.append(_jobs(overdue_jobs))
    return [count for count in counts if request.user.has_perm(count.permission)]


def _stripe_counts(at: datetime) -> Iterator[Count]:
    events, operations = InboxEvent.objects, Operation.objects
    waiting = events.filter(state="pending")
    oldest = waiting.aggregate(oldest=Min("received_at"))["oldest"]
    latest = events.aggregate(latest=Max("received_at"))["latest"]
    lag = at - oldest if oldest else timedelta()
    yield _count(
        "Webhook lag",
        waiting,
        "state__exact=pending",
        number=_length(lag),
        alarming=lag > LAG_IS_LONG,
        hint=f"latest webhook {_length(at - latest)} ago" if latest else "no webhook came yet",
    )
    yield _count("Events waiting", waiting, "state__exact=pending")
    yield _bad("Events parked", events.filter(state="parked"), "state__exact=parked")
    yield _count(
        "Calls to Stripe unfinished",
        operations.filter(state__in=OPEN_STATES),
        f"state__in={','.join(OPEN_STATES)}",
    )
    unknown = operations.filter(state="unknown")
    yield _bad("Calls with unknown outcome", unknown, "state__exact=unknown")


def _money_counts(at: datetime) -> Iterator[Count]:
    asked = RefundRequest.objects.filter(state=RequestState.AWAITING)
    yield _count("Refunds that need a second person", asked, "state__exact=awaiting")
    changes = Adjustment.objects.filter(state=AdjustmentState.AWAITING)
    yield _count("Adjustments that need a second person", changes, "state__exact=awaiting")
    disputes = Dispute.objects.filter(status__in=UNSETTLED_DISPUTES)
    unpaid = DunningCourse.objects.exclude(state=CourseState.CLOSED)
    failed = DunningStep.objects.filter(state="failed", taken_at__gte=at - SOON)
    number = failed.count()
    yield _count(
        "Renewals overdue",
        unpaid,
        "state__in=running,paused",
        alarming=number > 0,
        hint=f"{number} mails about them did not arrive this week" if number else "",
    )
    yield _bad("Disputes open", disputes, f"status__in={','.join(UNSETTLED_DISPUTES)}")


def _care_counts(at: datetime) -> Iterator[Count]:
    yield _bad(
        "Differences with Stripe",
        Drift.objects.filter(state=DriftState.OPEN),
        "state__exact=open",
        hint=_last_reconciliation(at),
    )
    yield _bad(
        "Promises broken",
        InvariantCheck.objects.filter(violations__gt=0),
        "",
        hint="checked every five minutes",
    )
    failed = HookDelivery.objects.filter(state="failed", created_at__gte=at - SOON)
    yield _bad("Hooks given up this week", failed, "state__exact=failed")
    ending = Grant.objects.live(at).filter(valid_to__lt=at + SOON)
    last = at + SOON
    yield _count(
        "Grants that end within a week",
        ending,
        f"valid_to_from={at:%Y-%m-%d}&valid_to_to={last:%Y-%m-%d}&revoked_at__isempty=1",
    )


def _last_reconciliation(at: datetime) -> str:
    run = ReconciliationRun.objects.order_by("-created_at").first()
    if run is None:
        return "never compared yet"
    when = f"{_length(at - run.created_at)} ago"
    if run.state == RunState.FAILED:
        return f"the last comparison failed {when}"
    return f"last compared {when}" if run.finished_at else f"comparing since {when}"


def _jobs(overdue: Sequence[Overdue]) -> Count:
    return Count(
        "Jobs that did not run",
        len(overdue),
        reverse("admin:keystore_jobrun_changelist"),
        "keystore.view_jobrun",
        alarming=bool(overdue),
        hint=", ".join(job.name.rpartition(".")[2] for job in overdue),
    )


def _bad(title: str, rows: QuerySet[Any], query: str, *, hint: str = "") -> Count:
    """Any number but 0 wants somebody to look."""
    number = rows.count()
    return _count(title, rows, query, number=number, alarming=number > 0, hint=hint)


def _count(
    title: str,
    rows: QuerySet[Any],
    query: str,
    *,
    number: Any = None,
    alarming: bool = False,
    hint: str = "",
) -> Count:
    model: type[Model] = rows.model
    label, name = model._meta.app_label, model._meta.model_name
    page = reverse(f"admin:{label}_{name}_changelist")
    return Count(
        title,
        rows.count() if number is None else number,
        f"{page}?{query}" if query else page,
        f"{label}.view_{name}",
        alarming,
        hint,
    )


def _length(span: timedelta) -> str:
    """As people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = int(span.total_seconds())
    for size, word in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{max(seconds, 0)} s"
