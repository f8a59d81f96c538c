"""Usage that was counted becomes meter events at Stripe: each unit once.

A report is a row before it is a call. Its identifier is made of what it reports, so that Stripe
refuses it a second time for a day; after that Stripe's summary is read before anything is sent.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from django.db import transaction

from billing.models import MeterLink, ReportKind, ReportState, UsageReport
from billing.models.usage import UNFINISHED
from billing.usage_counted import HOUR, REPLACING, Untold, closed_before, left_over, untold
from config.errors import Conflict, InvalidInput
from keystore import audit
from metering.partitions import Partition

RECENT = 3 * HOUR
ALL = timedelta(days=35)  # as late as an event may come, and as old as Stripe takes one
AT_ONCE = 1000
MOST_ROUNDS = 200  # of one pass over a meter; the next pass goes on
CANCEL_WITHIN = timedelta(hours=23)  # Stripe takes an event back for a day
NOTHING_TO_SEND = "Nothing to send: it stays over for the next report."


def plan_reports(*, clock: Callable[[], datetime], back: timedelta = RECENT) -> int:
    """Write down what Stripe is to be told of the closed hours of the time `back`; how many."""
    until = closed_before()
    if until is None:
        return 0
    made = 0
    for link in MeterLink.objects.order_by("pk"):
        for _ in range(MOST_ROUNDS):
            found = _plan(link.pk, until - back, until, clock())
            made += found
            if found < AT_ONCE:
                break
    return made


@transaction.atomic
def _plan(link_id: int, since: datetime, until: datetime, at: datetime) -> int:
    """One meter's next reports. Of several at once one works and the others do nothing."""
    links = MeterLink.objects.select_related("meter").select_for_update(
        of=("self",), skip_locked=True, no_key=True
    )
    link = links.filter(pk=link_id).first()
    if link is None:
        return 0
    found = untold(link=link, since=since, until=until, most=AT_ONCE)
    over = left_over(link=link, consumers=[each.consumer_id for each in found])
    for each in found:
        before = over.get(each.consumer_id, Decimal(0))
        is_less = each.counted < each.told and link.meter.aggregation not in REPLACING
        if is_less and _take_back(link, each, at):
            continue
        row = _report(link, each, before, at)
        over[each.consumer_id] = before + row.counted - row.quantity
    return len(found)


def _report(link: MeterLink, each: Untold, over: Decimal, at: datetime) -> UsageReport:
    replaces = link.meter.aggregation in REPLACING
    counted = each.counted if replaces else each.counted - each.told
    total = counted if replaces else counted + over
    quantity = int(max(total, Decimal(0)).to_integral_value(ROUND_FLOOR))
    # A value of zero that replaces another says something, an addition of zero does not.
    sends = quantity > 0 or replaces
    return UsageReport.objects.create(
        **_named(link, each, at),
        counted=counted,
        quantity=quantity,
        state=ReportState.WAITING if sends else ReportState.DONE,
        settled_at=None if sends else at,
        error="" if sends else NOTHING_TO_SEND,
    )


def _named(link: MeterLink, each: Untold, at: datetime) -> dict[str, object]:
    version = each.version + 1
    hour = f"{each.bucket:%Y%m%d%H}"
    return {
        "project_id": link.project_id,
        "meter_id": link.meter_id,
        "consumer_id": each.consumer_id,
        "bucket": each.bucket,
        "version": version,
        "identifier": f"{link.meter.public_id}-{each.consumer}-{hour}-{version}",
        "created_at": at,
        "next_attempt_at": at,
    }


def _take_back(link: MeterLink, each: Untold, at: datetime) -> bool:
    """Less was used than was told: take the last report of the hour back, to tell anew.

    False where Stripe does not take it back any more: then the difference lowers later reports.
    """
    rows = UsageReport.objects.filter(
        meter=link.meter_id, consumer=each.consumer_id, bucket=each.bucket, kind=ReportKind.EVENT
    )
    on_their_way = rows.filter(state__in=UNFINISHED)
    if on_their_way.exclude(state=ReportState.WAITING, first_sent_at=None).exists():
        return True  # on its way: its outcome decides
    unsent = rows.filter(state=ReportState.WAITING, first_sent_at=None)
    if unsent.update(state=ReportState.CANCELLED, settled_at=at, error="Corrected before it went."):
        return True
    told = rows.filter(
        state=ReportState.DONE,
        quantity__gt=0,
        first_sent_at__gt=at - CANCEL_WITHIN,
        cancellation=None,
    )
    last = told.order_by("-version").first()
    if last is None:
        return False
    UsageReport.objects.create(
        **_named(link, each, at), kind=ReportKind.CANCEL, cancels=last, counted=0, quantity=0
    )
    return True


@transaction.atomic
def retry_report(*, report: UsageReport, actor: str, reason: str, at: datetime) -> None:
    """Send a refused report again: the same event, under the same identifier.

    Raises Conflict if it was not refused.
    """
    if not reason.strip():
        raise InvalidInput("Say why it is sent again: the audit trail keeps it.")
    done = UsageReport.objects.filter(pk=report.pk, state=ReportState.FAILED).update(
        state=ReportState.WAITING, next_attempt_at=at, lease_until=None
    )
    if not done:
        raise Conflict(f"{report} was not refused: nothing was changed.")
    audit.record(
        actor=actor,
        act="usage_report.retry",
        target=report,
        consumer=report.consumer,
        before={"state": ReportState.FAILED, "error": report.error},
        after={"state": ReportState.WAITING},
        reason=reason,
        at=at,
    )


def unreported_in(partition: Partition) -> str:
    """Why the events of a month are still needed: reports of that time that have no end."""
    waiting = UsageReport.objects.filter(
        state__in=(*UNFINISHED, ReportState.FAILED),
        bucket__gte=partition.start - ALL,
        bucket__lt=partition.end,
    )
    return "not yet reported to Stripe" if waiting.exists() else ""
