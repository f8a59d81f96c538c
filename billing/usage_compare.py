"""What Stripe's summaries say against what it was told: a day at a time, when the day is over."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F
from django.db.models.functions import TruncDay

from billing import gateway
from billing.models import MeterLink, ReportKind, ReportState, UsageReport
from billing.models.usage import UNFINISHED
from billing.reconciliation.pace import Pace
from billing.usage_counted import REPLACING
from billing.usage_sending import read_summary, told_between

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)
SETTLING = timedelta(hours=1)  # Stripe's summaries follow what it was told after a while
AT_ONCE = 500

Told = tuple[int, str, datetime]  # meter, Stripe's customer, the UTC day


def compare_usage(*, clock: Callable[[], datetime], seconds: float = 300) -> int:
    """Read back the days that are over; returns how many customers' days differ.

    One that differs is looked at again each time, so that it is settled when it agrees.
    """
    gateway.refuse_inside_transaction()
    start, pace, differing = clock(), Pace(settings.USAGE_REPORTS_PER_SECOND), 0
    for told in _to_compare(start):
        pace.wait()
        try:
            differing += _compare(told, clock())
        except gateway.StripeUnavailable as problem:
            logger.warning("usage.not_compared", extra={"why": problem.message})
            break
        if (clock() - start).total_seconds() > seconds:
            break
    return differing


def _to_compare(at: datetime) -> list[Told]:
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = UsageReport.objects.filter(
        kind=ReportKind.EVENT, state=ReportState.DONE, compared_at=None, stamped_at__lt=today
    )
    days = rows.annotate(day=TruncDay("stamped_at")).order_by("day", "meter_id")
    found = days.values_list("meter_id", "stripe_customer_id", "day").distinct()
    return [told for told in found[:AT_ONCE] if not _is_moving(told, at)]


def _is_moving(told: Told, at: datetime) -> bool:
    """Something of the day is on its way, or came to its end a moment ago."""
    meter_id, customer, day = told
    rows = UsageReport.objects.filter(
        meter=meter_id, stripe_customer_id=customer, stamped_at__gte=day, stamped_at__lt=day + DAY
    )
    return (
        rows.filter(state__in=UNFINISHED).exists()
        or rows.filter(settled_at__gt=at - SETTLING).exists()
    )


def _compare(told: Told, at: datetime) -> bool:
    meter_id, customer, day = told
    link = MeterLink.objects.select_related("meter").get(meter=meter_id)
    rows = UsageReport.objects.filter(
        meter=meter_id,
        stripe_customer_id=customer,
        kind=ReportKind.EVENT,
        state=ReportState.DONE,
        stamped_at__gte=day,
        stamped_at__lt=day + DAY,
    )
    try:
        value = read_summary(link, customer, day, day + DAY)
    except (gateway.StripeMissing, gateway.StripeRefused) as refusal:
        rows.update(difference=f"Stripe does not say: {refusal.message}")
        return True
    if link.meter.aggregation in REPLACING:
        latest = rows.order_by("-stamped_at", "-version").values_list("quantity", flat=True).first()
        due = latest or 0
    else:
        due = told_between(meter_id, customer, day, day + DAY)
    if value == due:
        rows.update(compared_at=at, difference="")
        return False
    said = f"Stripe counted {value} on {day:%Y-%m-%d}; it was told {due}."
    if rows.exclude(difference=said).exists():
        logger.error("usage.differs", extra={"customer": customer, "why": said})
    rows.update(difference=said)
    return True


def differing_days() -> list[UsageReport]:
    """One report of each customer's day on which Stripe counted something else."""
    rows = UsageReport.objects.filter(state=ReportState.DONE, compared_at=None)
    rows = rows.exclude(difference="").annotate(day=TruncDay(F("stamped_at")))
    return list(
        rows.order_by("meter_id", "stripe_customer_id", "day", "pk").distinct(
            "meter_id", "stripe_customer_id", "day"
        )
    )
