"""Which counted usage Stripe was not told of yet: closed hours against reports.

Sums and counts are told hour by hour and Stripe adds them up. A maximum, a number of distinct
values and a latest value cannot be added up: each hour tells what the period has come to so far,
and Stripe bills the last that it was told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F, Sum

from billing.models import MeterLink, ReportKind, ReportState, UsageReport
from entitlements.models import Reset
from metering.models import Aggregation, Cycle, Watermark
from metering.periods import period_of
from metering.rollup import MARK

HOUR = timedelta(hours=1)
# An event that was being received when its hour ended has committed by then, as a rule; what is
# later still becomes a report of its own.
MARGIN = timedelta(minutes=1)

# Of these each report replaces the one before; of the others it adds to it.
REPLACING = {Aggregation.LATEST, Aggregation.MAX, Aggregation.UNIQUE}

HOURS = """
    FROM metering_usagetotal AS t
    JOIN billing_stripecustomer AS c ON c.consumer_id = t.consumer_id AND c.deleted_at IS NULL
    WHERE t.project_id = %(project)s AND t.meter_id = %(meter)s AND t.grain = 'hour'
      AND t.bucket >= %(since)s AND t.bucket < %(until)s
    GROUP BY 1, 2
"""
BY_HOUR = "SELECT t.consumer_id, t.bucket, {counted} AS counted" + HOURS
# Of the hours h and the starts of their periods: what the period has come to with the hour.
SO_FAR = """
    SELECT h.consumer_id, h.bucket, coalesce(({counted}
          AND u.consumer_id = h.consumer_id AND u.meter_id = %(meter)s
          AND u.bucket >= h.since AND u.bucket <= h.bucket), 0) AS counted
    FROM unnest(%(consumers)s::bigint[], %(buckets)s::timestamptz[], %(starts)s::timestamptz[])
        AS h (consumer_id, bucket, since)
"""
COUNTED = {
    Aggregation.SUM: BY_HOUR.format(counted="sum(t.quantity)"),
    Aggregation.COUNT: BY_HOUR.format(counted="sum(t.events)"),
    Aggregation.LATEST: BY_HOUR.format(
        counted="(max(ARRAY[extract(epoch FROM t.latest_at), t.latest]))[2]"
    ),
    Aggregation.MAX: SO_FAR.format(
        counted="SELECT max(u.maximum) FROM metering_usagetotal AS u WHERE u.grain = 'hour'"
    ),
    Aggregation.UNIQUE: SO_FAR.format(
        counted="SELECT count(DISTINCT u.value)::numeric"
        " FROM metering_usagedistinct AS u WHERE true"
    ),
}
EFFECTIVE = "r.kind = 'event' AND r.state <> 'cancelled'"
ADDED = f"sum(r.counted) FILTER (WHERE {EFFECTIVE})"
NEWEST = f"(array_agg(r.counted ORDER BY r.version DESC) FILTER (WHERE {EFFECTIVE}))[1]"
UNTOLD = """
WITH counted AS ({counted}), told AS (
    SELECT r.consumer_id, r.bucket, {told} AS told, max(r.version) AS version,
        bool_or(r.kind = 'cancel' AND r.state IN ('waiting', 'sent', 'unknown')) AS is_moving
    FROM billing_usagereport AS r
    WHERE r.meter_id = %(meter)s AND r.bucket >= %(since)s AND r.bucket < %(until)s
    GROUP BY 1, 2
)
SELECT consumer_id, who.public_id, bucket, counted, coalesce(told, 0), coalesce(version, 0)
FROM counted LEFT JOIN told USING (consumer_id, bucket)
JOIN keystore_consumer AS who ON who.id = consumer_id
WHERE counted <> coalesce(told, 0) AND NOT coalesce(is_moving, false)
ORDER BY bucket, consumer_id LIMIT %(most)s
"""


@dataclass(frozen=True)
class Untold:
    """An hour of a consumer of which Stripe knows `told` and we `counted`."""

    consumer_id: int
    consumer: str  # its public id
    bucket: datetime
    counted: Decimal
    told: Decimal
    version: int  # of the last report of the hour; 0: none yet


def closed_before() -> datetime | None:
    """Every hour before this one is totalled; None while nothing is."""
    mark = Watermark.objects.filter(name=MARK).first()
    if mark is None or mark.moved_at is None:
        return None
    return hour_of(mark.moved_at - MARGIN)


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def untold(*, link: MeterLink, since: datetime, until: datetime, most: int) -> list[Untold]:
    """The oldest hours in [since, until) whose total is not what the reports say.

    Only of consumers that Stripe has a customer for: everybody else's usage waits.
    """
    kind = Aggregation(link.meter.aggregation)
    query = UNTOLD.format(counted=COUNTED[kind], told=NEWEST if kind in REPLACING else ADDED)
    values: dict[str, Any] = {
        **{"project": link.project_id, "meter": link.meter_id},
        **{"since": since, "until": until, "most": most},
    }
    if kind in {Aggregation.MAX, Aggregation.UNIQUE}:
        values |= _hours_and_periods(values)
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [Untold(*row) for row in cursor.fetchall()]


def _hours_and_periods(values: dict[str, Any]) -> dict[str, list[Any]]:
    """The hours in which something was counted, and the first hour of the period of each.

    An hour in which a period begins belongs to the new one, as in `usage_stamps`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT t.consumer_id, t.bucket" + HOURS, values)
        hours = cursor.fetchall()
    known = Cycle.objects.filter(consumer__in={consumer for consumer, _ in hours})
    cycles = {cycle.consumer_id: cycle for cycle in known}
    return {
        "consumers": [consumer for consumer, _ in hours],
        "buckets": [bucket for _, bucket in hours],
        "starts": [
            hour_of(_period_start(cycles.get(consumer), bucket)) for consumer, bucket in hours
        ],
    }


def _period_start(cycle: Cycle | None, bucket: datetime) -> datetime:
    last = bucket + HOUR - timedelta(seconds=1)
    return period_of(reset=Reset.BILLING_PERIOD, cycle=cycle, at=last).start


def left_over(*, link: MeterLink, consumers: Iterable[int]) -> dict[int, Decimal]:
    """What was counted and not sent so far: fractions of a unit, and amounts below zero."""
    rows = UsageReport.objects.filter(
        meter=link.meter_id, consumer__in=set(consumers), kind=ReportKind.EVENT
    ).exclude(state=ReportState.CANCELLED)
    sums = (
        rows.order_by().values_list("consumer_id").annotate(over=Sum(F("counted") - F("quantity")))
    )
    return dict(sums)
