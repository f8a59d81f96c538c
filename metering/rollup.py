"""Events into totals by hour and by day: each exactly once, at a cost that follows new events.

A mark by id or by time would miss what a slow transaction commits later. The mark here is a
transaction id: everything written by transactions before it is counted. How far it may move is
read after the mark's row is locked: all transactions before the oldest that still runs have ended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from config.errors import DomainError
from metering.models import Watermark

MARK = "rollup"
AT_ONCE = 100_000  # events in one transaction

TOTALS = """
WITH delta AS (
    SELECT e.project_id, e.meter_id, e.consumer_id, e.api_id, e.key_id,
        metering_dimensions(e.properties, m.dimensions) AS dims,
        date_trunc('hour', e.counts_at, 'UTC') AS bucket,
        sum(e.quantity) AS quantity,
        sum(CASE WHEN e.voids THEN -1 ELSE 1 END) AS events,
        max(e.quantity) FILTER (WHERE m.aggregation = 'max' AND {stands}) AS maximum,
        max(ARRAY[extract(epoch FROM e.counts_at), e.quantity])
            FILTER (WHERE m.aggregation = 'latest' AND {stands}) AS latest,
        max(e.counts_at) FILTER (WHERE m.aggregation = 'latest' AND {stands}) AS latest_at
    FROM metering_usageevent AS e JOIN metering_meter AS m ON m.id = e.meter_id
    WHERE {which}
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), grains AS (
    SELECT project_id, meter_id, consumer_id, api_id, key_id, dims, 'hour' AS grain, bucket,
        quantity, events, maximum, latest[2] AS latest, latest_at FROM delta
    UNION ALL
    SELECT project_id, meter_id, consumer_id, api_id, key_id, dims, 'day',
        date_trunc('day', bucket, 'UTC'), sum(quantity), sum(events), max(maximum),
        (max(latest))[2], max(latest_at)
    FROM delta GROUP BY 1, 2, 3, 4, 5, 6, 8
)
INSERT INTO {table} AS t (project_id, meter_id, consumer_id, api_id, key_id, dims,
    grain, bucket, quantity, events, maximum, latest, latest_at)
SELECT * FROM grains
"""
ADD = """
ON CONFLICT (consumer_id, meter_id, grain, bucket, api_id, key_id, md5(dims::text)) DO UPDATE SET
    quantity = t.quantity + EXCLUDED.quantity,
    events = t.events + EXCLUDED.events,
    maximum = greatest(t.maximum, EXCLUDED.maximum),
    latest = CASE WHEN t.latest_at > EXCLUDED.latest_at OR EXCLUDED.latest_at IS NULL
                  THEN t.latest
                  WHEN t.latest_at = EXCLUDED.latest_at
                  THEN greatest(t.latest, EXCLUDED.latest)
                  ELSE EXCLUDED.latest END,
    latest_at = greatest(t.latest_at, EXCLUDED.latest_at)
"""
DISTINCT = """
INSERT INTO metering_usagedistinct
    (project_id, meter_id, consumer_id, api_id, key_id, dims, bucket, value)
SELECT DISTINCT e.project_id, e.meter_id, e.consumer_id, e.api_id, e.key_id,
    metering_dimensions(e.properties, m.dimensions), date_trunc('hour', e.counts_at, 'UTC'),
    e.unique_value
FROM metering_usageevent AS e JOIN metering_meter AS m ON m.id = e.meter_id
WHERE m.aggregation = 'unique' AND {stands} AND {which}
ON CONFLICT DO NOTHING
"""
STANDS = "NOT e.voids"  # what was taken back later is put right below
NEW = "e.xid >= %(low)s::xid8 AND e.xid < %(high)s::xid8"

# Taking back a maximum, a latest value or a distinct one needs what else the bucket holds.
TOUCHED = """
SELECT DISTINCT e.consumer_id, e.meter_id, m.aggregation,
    date_trunc('hour', e.counts_at, 'UTC') AS hour
FROM metering_usageevent AS e JOIN metering_meter AS m ON m.id = e.meter_id
WHERE e.voids AND m.aggregation IN ('max', 'latest', 'unique')
  AND e.xid >= %(low)s::xid8 AND e.xid < %(high)s::xid8
"""
STANDING = """
SELECT e.*, metering_dimensions(e.properties, m.dimensions) AS dims
FROM metering_usageevent AS e JOIN metering_meter AS m ON m.id = e.meter_id
WHERE e.consumer_id = %(consumer)s AND e.meter_id = %(meter)s AND NOT e.voids
  AND e.counts_at >= %(start)s AND e.counts_at < %(end)s AND e.xid < %(high)s::xid8
  AND NOT EXISTS (SELECT FROM metering_usageevent AS v
      WHERE v.consumer_id = e.consumer_id AND v.meter_id = e.meter_id
        AND v.counts_at = e.counts_at AND v.voids AND v.corrects = e.id
        AND v.xid < %(high)s::xid8)
"""
REMAKE = f"""
UPDATE metering_usagetotal AS t SET maximum = found.maximum, latest = found.latest,
    latest_at = found.latest_at
FROM metering_usagetotal AS old LEFT JOIN (
    SELECT api_id, key_id, dims,
        max(quantity) FILTER (WHERE %(kind)s = 'max') AS maximum,
        (max(ARRAY[extract(epoch FROM counts_at), quantity])
            FILTER (WHERE %(kind)s = 'latest'))[2] AS latest,
        max(counts_at) FILTER (WHERE %(kind)s = 'latest') AS latest_at
    FROM ({STANDING}) AS standing GROUP BY 1, 2, 3
) AS found ON found.dims = old.dims AND found.api_id IS NOT DISTINCT FROM old.api_id
    AND found.key_id IS NOT DISTINCT FROM old.key_id
WHERE t.id = old.id AND old.consumer_id = %(consumer)s AND old.meter_id = %(meter)s
  AND old.grain = %(grain)s AND old.bucket = %(start)s
"""
FORGET = f"""
DELETE FROM metering_usagedistinct AS d
WHERE d.consumer_id = %(consumer)s AND d.meter_id = %(meter)s AND d.bucket = %(start)s
  AND NOT EXISTS (SELECT FROM ({STANDING}) AS s
      WHERE s.unique_value = d.value AND s.dims = d.dims
        AND s.api_id IS NOT DISTINCT FROM d.api_id AND s.key_id IS NOT DISTINCT FROM d.key_id)
"""


class MarkAhead(DomainError):
    """The mark is ahead of the database's own count of transactions: it comes from another one."""

    code = "rollup_mark_ahead"
    status = 500


@dataclass(frozen=True)
class Step:
    """How many events were counted, and whether there were more."""

    events: int
    more: bool


def roll_up(*, clock: Callable[[], datetime], seconds: float = 45) -> int:
    """Count what is new, in transactions of AT_ONCE events, for so long. How many events.

    Of several that run at once one works and the others return 0.
    """
    start, events, more = clock(), 0, True
    while more and (clock() - start).total_seconds() < seconds:
        step = count_new(at=clock())
        events += step.events
        more = step.more
    return events


@transaction.atomic
def count_new(*, at: datetime, at_once: int = AT_ONCE) -> Step:
    """Count the next events. All of a transaction's events are counted together."""
    mark = (
        Watermark.objects.select_for_update(skip_locked=True, no_key=True).filter(name=MARK).first()
    )
    if mark is None:
        return Step(0, more=False)
    fence = _fence()
    if mark.xid > fence:
        raise MarkAhead(
            "The totals' mark comes from another database, perhaps a restored dump: run "
            "`manage.py usage rebuild --reset`."
        )
    high = _end_of_step(mark.xid, fence, at_once)
    span = {"low": str(mark.xid), "high": str(high)}
    events = count_between(span)
    mark.xid, mark.moved_at = high, at
    mark.save(update_fields=["xid", "moved_at"])
    return Step(events, more=high < fence)


def count_between(span: dict[str, Any]) -> int:
    """Add the events of transactions in [low, high) to the totals; the mark is locked."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM metering_usageevent AS e WHERE {NEW}", span)
        (events,) = cursor.fetchone()
        if events:
            totals = TOTALS.format(which=NEW, stands=STANDS, table="metering_usagetotal")
            cursor.execute(totals + ADD, span)
            cursor.execute(DISTINCT.format(which=NEW, stands=STANDS), span)
            cursor.execute(TOUCHED, span)
            for consumer, meter, kind, hour in cursor.fetchall():
                _remake(consumer, meter, kind, hour, span["high"])
    return int(events)


def lag() -> int:
    """How many events are not in the totals yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM metering_usageevent WHERE xid >="
            " (SELECT xid FROM metering_watermark WHERE name = %s)",
            [MARK],
        )
        return int(cursor.fetchone()[0])


def _fence() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())")
        return int(cursor.fetchone()[0])


def _end_of_step(low: int, fence: int, at_once: int) -> int:
    """Where to stop: behind the transaction that wrote the last of `at_once` events."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xid FROM metering_usageevent WHERE xid >= %s::xid8 AND xid < %s::xid8"
            " ORDER BY xid OFFSET %s LIMIT 1",
            [str(low), str(fence), at_once - 1],
        )
        found = cursor.fetchone()
    return fence if found is None else int(found[0]) + 1


def _remake(consumer: int, meter: int, kind: str, hour: datetime, high: str) -> None:
    """Make the hour, and the day that holds it, of what was not taken back."""
    with connection.cursor() as cursor:
        for grain, start, end in _spans(hour):
            values: dict[str, Any] = {
                **{"consumer": consumer, "meter": meter, "kind": kind, "high": high},
                **{"grain": grain, "start": start, "end": end},
            }
            if kind != "unique":
                cursor.execute(REMAKE, values)
            elif grain == "hour":
                cursor.execute(FORGET, values)


def _spans(hour: datetime) -> list[tuple[str, datetime, datetime]]:
    day = hour.replace(hour=0)
    return [
        ("hour", hour, hour + timedelta(hours=1)),
        ("day", day, day + timedelta(days=1)),
    ]
