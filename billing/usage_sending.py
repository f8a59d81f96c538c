"""Reports of usage on their way to Stripe: claimed, sent, settled, looked for."""

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, Sum

from billing import gateway
from billing.models import (
    MeterLink,
    ReportKind,
    ReportState,
    StripeCustomer,
    Subscription,
    UsageReport,
)
from billing.models.usage import UNFINISHED
from billing.reconciliation.pace import Pace
from billing.usage_counted import HOUR, REPLACING, hour_of
from billing.usage_stamps import Lifetime, stamp_of

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)  # longer than any one call may take
KNOWN_FOR = timedelta(hours=23)  # Stripe may forget an identifier after 24 h
FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300
AT_ONCE = 500
REFUSALS_IN_A_ROW = 3  # of Stripe as a whole, after which the rest waits for the next pass
REPLACING_ROOM = 60
TOO_LATE = "Too late: the invoice of its time is final, and Stripe would bill it for another time."
EXISTS = "already exists with identifier"

# The next report of each customer and meter; one that may have arrived comes before all others.
DUE = """
SELECT id FROM (
    SELECT DISTINCT ON (r.meter_id, r.consumer_id) r.id, r.next_attempt_at, r.lease_until
    FROM billing_usagereport AS r
    JOIN billing_meterlink AS l ON l.meter_id = r.meter_id
    JOIN billing_stripecustomer AS c ON c.consumer_id = r.consumer_id
    WHERE r.state IN ('waiting', 'sent', 'unknown')
      AND (r.state <> 'waiting' OR r.first_sent_at IS NOT NULL OR c.deleted_at IS NULL)
    ORDER BY r.meter_id, r.consumer_id, r.state = 'waiting', r.bucket, r.version
) AS heads
WHERE next_attempt_at <= %(at)s AND (lease_until IS NULL OR lease_until <= %(at)s)
ORDER BY next_attempt_at LIMIT %(most)s
"""


def send_due(*, clock: Callable[[], datetime], seconds: float = 45, most: int = AT_ONCE) -> int:
    """Tell Stripe what waits, for so long; returns how many reports came to an end.

    Stripe takes one call at a time per customer and meter; several of these may run at once.
    """
    gateway.refuse_inside_transaction()
    start, pace, settled = clock(), Pace(settings.USAGE_REPORTS_PER_SECOND), 0
    while heads := _due(clock(), most):
        states = []
        for report_id in heads:
            pace.wait()
            states.append(send_report(report_id=report_id, at=clock()))
            late = (clock() - start).total_seconds() > seconds
            if late or _is_away(states):
                return settled + _ended(states)
        settled += _ended(states)
        if not _ended(states):
            break  # somebody else is at them
    return settled


def _ended(states: list[str | None]) -> int:
    return sum(state is not None and state not in UNFINISHED for state in states)


def _is_away(states: list[str | None]) -> bool:
    """Stripe took none of the last ones: the rest waits for the next pass."""
    last = states[-REFUSALS_IN_A_ROW:]
    return len(last) == REFUSALS_IN_A_ROW and all(state in UNFINISHED for state in last)


def _due(at: datetime, most: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"at": at, "most": most})
        return [row[0] for row in cursor.fetchall()]


def send_report(*, report_id: int, at: datetime) -> str | None:
    """Send one if nobody else is at it; its state then, or None if somebody is."""
    report = _claim(report_id, at)
    if report is None:
        return None
    try:
        if report.first_sent_at and report.first_sent_at <= at - KNOWN_FOR:
            arrived = has_arrived(report)
            if arrived is None:
                return _end(report, ReportState.FAILED, at, error=_unexplained())
            if arrived:
                return _settle(report, at)
            UsageReport.objects.filter(pk=report.pk).update(first_sent_at=at)
        _call(report)
    except gateway.StripeUnavailable as problem:
        # Not taken this time; what an earlier try did is as open as before.
        state = ReportState.WAITING if report.attempts == 1 else ReportState.UNKNOWN
        return _postpone(report, problem.message, at, state)
    except gateway.OutcomeUnknown as problem:
        return _postpone(report, str(problem), at, ReportState.UNKNOWN)
    except (gateway.StripeRefused, gateway.StripeMissing) as refusal:
        return _refused(report, refusal.message, at)
    return _settle(report, at)


@transaction.atomic
def _claim(report_id: int, at: datetime) -> UsageReport | None:
    """Take the lease. What decides how Stripe counts it is chosen once, with the first try."""
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    rows = UsageReport.objects.select_related("meter", "cancels")
    report = (
        rows.select_for_update(of=("self",), skip_locked=True, no_key=True)
        .filter(free, pk=report_id, state__in=UNFINISHED)
        .first()
    )
    if report is None:
        return None
    if report.stamped_at is None:
        report.stamped_at = _stamp(report, at)
        if report.stamped_at is None:
            _leave(report, at)
            return None
        report.stripe_customer_id = StripeCustomer.objects.get(
            consumer=report.consumer_id
        ).stripe_customer_id
    report.first_sent_at = report.first_sent_at or at
    report.state, report.lease_until = ReportState.SENT, at + LEASE
    report.attempts += 1
    try:
        with transaction.atomic():
            report.save(
                update_fields=[
                    *("stamped_at", "stripe_customer_id", "first_sent_at"),
                    *("state", "lease_until", "attempts"),
                ]
            )
    except IntegrityError as twin:
        if "report_one_in_flight" not in str(twin):
            raise
        return None
    return report


def _stamp(report: UsageReport, at: datetime) -> datetime | None:
    """Under which instant Stripe is to count it. What comes too late for its own time is added
    to the present one; a value that replaces another would be wrong there: None.
    """
    if report.cancels is not None and report.cancels.stamped_at is not None:
        return report.cancels.stamped_at
    rows = Subscription.objects.filter(consumer=report.consumer_id)
    lifetimes = [
        Lifetime(row.started_at, row.current_period_start or row.started_at, row.ended_at)
        for row in rows
    ]
    stamp = stamp_of(bucket=report.bucket, lifetimes=lifetimes, at=at)
    if report.meter.aggregation not in REPLACING:
        return stamp or at.replace(microsecond=0)
    # Stripe takes the value of the latest instant: each version is a second later.
    return stamp and stamp - timedelta(seconds=max(0, REPLACING_ROOM - report.version))


def _leave(report: UsageReport, at: datetime) -> None:
    """It ends without a call."""
    report.quantity = 0
    report.save(update_fields=["quantity"])
    _end(report, ReportState.DONE, at, error=TOO_LATE)


def _call(report: UsageReport) -> None:
    # The identifier keeps it single; an answer that Stripe keeps under the key, such as a 500,
    # must not be the answer to the next try.
    key = f"latchkey:usage:{report.identifier}:{report.attempts}"
    name = MeterLink.objects.get(meter=report.meter_id).event_name
    if report.cancels is not None:
        params = {
            "event_name": name,
            "type": "cancel",
            "cancel": {"identifier": report.cancels.identifier},
        }
        gateway.write("/v1/billing/meter_event_adjustments", params, idempotency_key=key)
        return
    assert report.stamped_at is not None
    payload = {"stripe_customer_id": report.stripe_customer_id, "value": str(report.quantity)}
    event = {
        "event_name": name,
        "identifier": report.identifier,
        "timestamp": int(report.stamped_at.timestamp()),
        "payload": payload,
    }
    gateway.write("/v1/billing/meter_events", event, idempotency_key=key)


def _refused(report: UsageReport, problem: str, at: datetime) -> str:
    if report.kind == ReportKind.EVENT:
        if EXISTS in problem:  # an earlier try arrived
            return _settle(report, at)
        return _end(report, ReportState.FAILED, at, error=problem)
    try:
        arrived = report.attempts > 1 and has_arrived(report)
    except gateway.StripeUnavailable as away:
        return _postpone(report, away.message, at, ReportState.UNKNOWN)
    if arrived:
        return _settle(report, at)
    # Stripe takes it back no more: the difference lowers later reports.
    return _end(report, ReportState.CANCELLED, at, error=problem)


def has_arrived(report: UsageReport) -> bool | None:
    """Whether Stripe's summary of the hour holds it; None if it explains neither.

    Raises StripeUnavailable, StripeRefused.
    """
    link = MeterLink.objects.get(meter=report.meter_id)
    assert report.stamped_at is not None
    start = hour_of(report.stamped_at)
    value = read_summary(link, report.stripe_customer_id, start, start + HOUR)
    if report.meter.aggregation in REPLACING:
        return value == report.quantity
    before = told_between(report.meter_id, report.stripe_customer_id, start, start + HOUR)
    change = -report.cancels.quantity if report.cancels is not None else report.quantity
    return {before + change: True, before: False}.get(value)


def read_summary(link: MeterLink, customer: str, start: datetime, end: datetime) -> int:
    """What Stripe has counted of the customer in [start, end)."""
    found = gateway.read(
        f"/v1/billing/meters/{link.stripe_meter_id}/event_summaries",
        customer=customer,
        start_time=int(start.timestamp()),
        end_time=int(end.timestamp()),
    )
    return int(sum(each["aggregated_value"] for each in found["data"]))


def told_between(meter_id: int, customer: str, start: datetime, end: datetime) -> int:
    """What Stripe has confirmed of the customer under instants in [start, end)."""
    rows = UsageReport.objects.filter(
        meter=meter_id,
        stripe_customer_id=customer,
        kind=ReportKind.EVENT,
        state=ReportState.DONE,
        stamped_at__gte=start,
        stamped_at__lt=end,
    )
    return int(rows.aggregate(sum=Sum("quantity"))["sum"] or 0)


def _unexplained() -> str:
    return (
        "Its answer was lost, and Stripe's summary of the hour shows neither with it nor without "
        "it what was told. Compare the hour in Stripe's dashboard before it is sent again."
    )


def _settle(report: UsageReport, at: datetime) -> str:
    with transaction.atomic():
        state = _end(report, ReportState.DONE, at)
        if report.cancels is not None:
            UsageReport.objects.filter(pk=report.cancels.pk, state=ReportState.DONE).update(
                state=ReportState.CANCELLED, compared_at=None
            )
    return state


def _end(report: UsageReport, state: ReportState, at: datetime, *, error: str = "") -> str:
    UsageReport.objects.filter(pk=report.pk, state__in=UNFINISHED).update(
        state=state, settled_at=at, lease_until=None, error=error
    )
    if state == ReportState.FAILED:
        logger.error("usage.report_failed", extra={"report": report.identifier, "why": error})
    return state


def _postpone(report: UsageReport, problem: str, at: datetime, state: ReportState) -> str:
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(report.attempts, 10), LONGEST_RETRY_SECONDS)
    UsageReport.objects.filter(pk=report.pk, state__in=UNFINISHED).update(
        state=state,
        lease_until=None,
        next_attempt_at=at + timedelta(seconds=seconds * random.uniform(0.5, 1.0)),
        error=problem,
    )
    logger.warning("usage.report_postponed", extra={"report": report.identifier, "why": problem})
    return state
