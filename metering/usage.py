"""How much was used, by hour, day or month of any time zone: right to the last event.

Read from the totals, plus the events that the roll-up has not reached. What totals cannot tell is
read from the events themselves: days of zones that are off by half an hour, and the maximum,
latest or distinct values while an event that was taken back is not rolled up.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.db import connection

from keystore.models import Api, ApiKey, Consumer
from metering.models import Aggregation, Meter
from metering.rollup import MARK
from metering.windows import DAY, HOUR, WHOLE, Span, end_of, has_whole_hours, start_of

NOT_ROLLED_UP = "e.xid >= (SELECT w.xid FROM metering_watermark AS w WHERE w.name = %(mark)s)"
STANDING = """NOT e.voids AND NOT EXISTS (
    SELECT FROM metering_usageevent AS v
    WHERE v.consumer_id = e.consumer_id AND v.meter_id = e.meter_id AND v.voids
      AND v.counts_at = e.counts_at AND v.corrects = e.id)"""
TOTALS = """
SELECT consumer_id, api_id, key_id, dims, bucket AS at, quantity, events, maximum, latest,
       latest_at
FROM metering_usagetotal AS e
WHERE e.project_id = %(project)s AND e.meter_id = %(meter)s AND e.grain = %(grain)s
  AND e.bucket >= %(start)s AND e.bucket < %(end)s{narrowed}
"""
EVENTS = """
SELECT e.consumer_id, e.api_id, e.key_id,
       metering_dimensions(e.properties, %(dimensions)s::jsonb) AS dims, e.counts_at AS at,
       e.quantity, CASE WHEN e.voids THEN -1 ELSE 1 END AS events, e.quantity AS maximum,
       e.quantity AS latest, e.counts_at AS latest_at
FROM metering_usageevent AS e
WHERE e.project_id = %(project)s AND e.meter_id = %(meter)s
  AND e.counts_at >= %(start)s AND e.counts_at < %(end)s{narrowed} AND {which}
"""
DISTINCT = """
SELECT consumer_id, api_id, key_id, dims, bucket AS at, value FROM metering_usagedistinct AS e
WHERE e.project_id = %(project)s AND e.meter_id = %(meter)s
  AND e.bucket >= %(start)s AND e.bucket < %(end)s{narrowed}
"""
VALUES = """
SELECT e.consumer_id, e.api_id, e.key_id,
       metering_dimensions(e.properties, %(dimensions)s::jsonb) AS dims, e.counts_at AS at,
       e.unique_value AS value
FROM metering_usageevent AS e
WHERE e.project_id = %(project)s AND e.meter_id = %(meter)s
  AND e.counts_at >= %(start)s AND e.counts_at < %(end)s{narrowed} AND {which}
"""
FIGURES = {
    Aggregation.SUM: "sum(quantity)",
    Aggregation.COUNT: "sum(events)",
    Aggregation.MAX: "coalesce(max(maximum), 0)",
    Aggregation.LATEST: (
        "coalesce((max(ARRAY[extract(epoch FROM latest_at), latest])"
        " FILTER (WHERE latest IS NOT NULL))[2], 0)"
    ),
    Aggregation.UNIQUE: "count(DISTINCT (consumer_id, value))::numeric",
}
EVENTS_SHOWN = {Aggregation.UNIQUE: "NULL::bigint"}
OWNERS = {  # what an owner is called outside
    "user_id": "(SELECT c.external_id FROM keystore_consumer AS c WHERE c.id = consumer_id)",
    "api": "(SELECT a.code FROM keystore_api AS a WHERE a.id = api_id)",
    "key": "(SELECT k.public_id FROM keystore_apikey AS k WHERE k.id = key_id)",
}
TAKEN_BACK = f"""
SELECT EXISTS (SELECT FROM metering_usageevent AS e
    WHERE e.project_id = %(project)s AND e.meter_id = %(meter)s AND e.voids AND {NOT_ROLLED_UP})
"""


@dataclass(frozen=True, slots=True)
class UsageWish:
    """What is asked. `window` is hour, day, month or whole; `group_by` holds user_id, api, key or
    names of the meter's dimensions.
    """

    meter: Meter
    span: Span
    window: str
    zone: ZoneInfo
    consumer: Consumer | None = None
    api: Api | None = None
    key: ApiKey | None = None
    group_by: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class UsageShown:
    """One window of one group. `events` None: distinct values have no count of events."""

    start: datetime
    end: datetime
    groups: dict[str, str | None]
    quantity: Decimal
    events: int | None


def usage_of(wish: UsageWish) -> Iterator[UsageShown]:
    """Window by window, groups in order; windows without usage are left out."""
    query, values = _query(wish)
    with closing(connection.chunked_cursor()) as cursor:
        cursor.execute(query, values)
        for start, quantity, events, *groups in cursor:
            start = start.astimezone(wish.zone)
            named = dict(zip(wish.group_by, groups, strict=True))
            end = wish.span.end if wish.window == WHOLE else end_of(wish.window, start)
            yield UsageShown(start, end, named, quantity, events)


def _query(wish: UsageWish) -> tuple[str, dict[str, Any]]:
    meter = wish.meter
    values: dict[str, Any] = {
        **{"project": meter.project_id, "meter": meter.pk, "mark": MARK},
        **{"start": wish.span.start, "end": wish.span.end, "zone": wish.zone.key},
        **{"window": wish.window, "grain": _grain(wish)},
        "dimensions": orjson.dumps(meter.dimensions).decode(),
    }
    narrowed = ""
    for column, row in (("consumer", wish.consumer), ("api", wish.api), ("key", wish.key)):
        if row is not None:
            narrowed += f" AND e.{column}_id = %(the_{column})s"
            values[f"the_{column}"] = row.pk
    kind = Aggregation(meter.aggregation)
    source = _source(wish, values).replace("{narrowed}", narrowed)
    groups = _grouped(wish, values)
    columns = "".join(f", {expression}" for expression in groups)
    places = ", ".join(str(number) for number in (1, *range(4, 4 + len(groups))))
    events = EVENTS_SHOWN.get(kind, "sum(events)::bigint")
    start = "date_trunc(%(window)s, at, %(zone)s)"
    if wish.window == WHOLE:
        start = "%(start)s::timestamptz"
    query = (
        f"SELECT {start} AS start, {FIGURES[kind]}, {events}{columns}"
        f" FROM ({source}) AS used GROUP BY {places} ORDER BY {places}"
    )
    return query, values


def _grain(wish: UsageWish) -> str:
    ends = (wish.span.start, wish.span.end)
    whole_days = wish.window != HOUR and all(start_of(DAY, end) == end for end in ends)
    return "day" if whole_days and wish.zone.key == "UTC" else "hour"


def _source(wish: UsageWish, values: dict[str, Any]) -> str:
    """Totals and what is behind them, or the events alone."""
    kind = wish.meter.aggregation
    added_up = kind in (Aggregation.SUM, Aggregation.COUNT)
    totals, events = (DISTINCT, VALUES) if kind == Aggregation.UNIQUE else (TOTALS, EVENTS)
    if not has_whole_hours(wish.zone, wish.span) or (not added_up and _is_taken_back(values)):
        return events.replace("{which}", "true" if added_up else STANDING)
    return f"{totals} UNION ALL {events.replace('{which}', NOT_ROLLED_UP)}"


def _is_taken_back(values: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(TAKEN_BACK, values)
        return bool(cursor.fetchone()[0])


def _grouped(wish: UsageWish, values: dict[str, Any]) -> list[str]:
    """The expressions of the groups; names of properties only ever travel as values."""
    found = []
    for number, name in enumerate(wish.group_by):
        values[f"dimension{number}"] = name
        found.append(OWNERS.get(name, f"dims ->> %(dimension{number})s"))
    return found
