"""Totals made again from the events, to prove them or to mend them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from metering.models import Watermark
from metering.partitions import pruned_before
from metering.rollup import DISTINCT, MARK, TOTALS

KEY = "consumer_id, meter_id, grain, bucket, api_id, key_id, dims"
FIGURES = ("quantity", "events", "maximum", "latest", "latest_at")
COUNTED = "e.xid < %(high)s::xid8 AND e.counts_at >= %(since)s"
# What was taken back counts in no maximum, latest or distinct value; sums subtract it.
STANDS = """NOT e.voids AND NOT EXISTS (
    SELECT FROM metering_usageevent AS v
    WHERE v.consumer_id = e.consumer_id AND v.meter_id = e.meter_id
      AND v.counts_at = e.counts_at AND v.voids AND v.corrects = e.id)"""
COMPARE = f"""
SELECT coalesce(ours.meter_id, proof.meter_id), coalesce(ours.consumer_id, proof.consumer_id),
    coalesce(ours.grain, proof.grain), coalesce(ours.bucket, proof.bucket),
    {", ".join(f"ours.{name}, proof.{name}" for name in FIGURES)}
FROM (SELECT * FROM metering_usagetotal WHERE bucket >= %(since)s) AS ours FULL JOIN proof
    ON ours.consumer_id = proof.consumer_id AND ours.meter_id = proof.meter_id
    AND ours.grain = proof.grain AND ours.bucket = proof.bucket AND ours.dims = proof.dims
    AND coalesce(ours.api_id, 0) = coalesce(proof.api_id, 0)
    AND coalesce(ours.key_id, 0) = coalesce(proof.key_id, 0)
WHERE {" OR ".join(f"ours.{name} IS DISTINCT FROM proof.{name}" for name in FIGURES)}
ORDER BY 4, 3, 1, 2 LIMIT %(most)s
"""
VALUES = "meter_id, consumer_id, bucket, value, api_id, key_id, dims"
COMPARE_VALUES = f"""
SELECT meter_id, consumer_id, bucket, value, stored FROM (
    (SELECT {VALUES}, true AS stored FROM metering_usagedistinct WHERE bucket >= %(since)s
     EXCEPT SELECT {VALUES}, true FROM proof_values)
    UNION ALL
    (SELECT {VALUES}, false FROM proof_values
     EXCEPT SELECT {VALUES}, false FROM metering_usagedistinct)
) AS differing ORDER BY bucket, meter_id, consumer_id, value LIMIT %(most)s
"""
MOST_SHOWN = 1000


@dataclass(frozen=True)
class Difference:
    """A bucket that is not what its events say. `field` is the first figure that differs."""

    meter_id: int
    consumer_id: int
    grain: str
    bucket: datetime
    field: str
    stored: Any
    proven: Any


@dataclass(frozen=True)
class Proof:
    """`buckets` were made of events that count since `since`; at most 1,000 differences."""

    since: datetime
    buckets: int
    differences: list[Difference]


@transaction.atomic
def prove_totals(*, since: datetime | None = None, repair: bool = False) -> Proof:
    """Make the totals of all days since `since` from their events and compare, or replace.

    Nothing is rolled up meanwhile. Only days whose events are all still kept can be proven.
    """
    mark = Watermark.objects.select_for_update(no_key=True).get(name=MARK)
    start = max(first_provable_day(), _day_of(since))
    values: dict[str, Any] = {"high": str(mark.xid), "since": start, "most": MOST_SHOWN}
    with connection.cursor() as cursor:
        _make_proof(cursor, values)
        cursor.execute("SELECT count(*) FROM proof")
        (buckets,) = cursor.fetchone()
        cursor.execute(COMPARE, values)
        differences = [_figure(row) for row in cursor.fetchall()]
        cursor.execute(COMPARE_VALUES, values)
        differences += [_value(*row) for row in cursor.fetchall()]
        if repair and differences:
            _replace(cursor, values)
        cursor.execute("DROP TABLE proof, proof_values")
    return Proof(start, buckets, differences)


@transaction.atomic
def reset_mark() -> Proof:
    """After a restore into another cluster: take every event as counted, then mend the totals.

    Transaction ids start anew there; the restored ones would be counted a second time later.
    """
    mark = Watermark.objects.select_for_update(no_key=True).get(name=MARK)
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE metering_usageevent IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("UPDATE metering_usageevent SET xid = '3'")
        cursor.execute("SELECT pg_current_xact_id()")
        mark.xid = int(cursor.fetchone()[0])
    mark.save(update_fields=["xid"])
    return prove_totals(repair=True)


def first_provable_day() -> datetime:
    """The first day of which no event can lie in a partition that was dropped.

    An event may be received up to five minutes before the instant under which it counts.
    """
    gone = pruned_before()
    return _day_of(gone + timedelta(days=1)) if gone else _day_of(None)


def _day_of(at: datetime | None) -> datetime:
    if at is None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _make_proof(cursor: Any, values: dict[str, Any]) -> None:
    for name, like in (("proof", "usagetotal"), ("proof_values", "usagedistinct")):
        cursor.execute(
            f"CREATE TEMPORARY TABLE {name} (LIKE metering_{like} INCLUDING INDEXES) ON COMMIT DROP"
        )
        cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT {name}_pkey")
        cursor.execute(f"ALTER TABLE {name} ALTER COLUMN id DROP NOT NULL")
    cursor.execute(TOTALS.format(which=COUNTED, stands=STANDS, table="proof"), values)
    distinct = DISTINCT.format(which=COUNTED, stands=STANDS)
    cursor.execute(distinct.replace("metering_usagedistinct", "proof_values"), values)


def _replace(cursor: Any, values: dict[str, Any]) -> None:
    figures = f"project_id, {KEY}, {', '.join(FIGURES)}"
    cursor.execute("DELETE FROM metering_usagetotal WHERE bucket >= %(since)s", values)
    cursor.execute(f"INSERT INTO metering_usagetotal ({figures}) SELECT {figures} FROM proof")
    named = f"project_id, {VALUES}"
    cursor.execute("DELETE FROM metering_usagedistinct WHERE bucket >= %(since)s", values)
    cursor.execute(f"INSERT INTO metering_usagedistinct ({named}) SELECT {named} FROM proof_values")


def _figure(row: tuple[Any, ...]) -> Difference:
    pairs = zip(FIGURES, row[4::2], row[5::2], strict=True)
    field, stored, proven = next(pair for pair in pairs if pair[1] != pair[2])
    meter, consumer, grain, bucket = row[:4]
    return Difference(meter, consumer, grain, bucket, field, stored, proven)


def _value(meter: int, consumer: int, bucket: datetime, value: str, stored: bool) -> Difference:
    kept, proven = (value, None) if stored else (None, value)
    return Difference(meter, consumer, "hour", bucket, "value", kept, proven)
