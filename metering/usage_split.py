"""Which values of a dimension made up the usage of many consumers, each in a span of its own."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection

from keystore.models import Api
from metering.models import Aggregation, Meter
from metering.rollup import MARK
from metering.usage import FIGURES, NOT_ROLLED_UP

ADDED_UP = (Aggregation.SUM, Aggregation.COUNT)
# An hour belongs to the span that its last second lies in, as it is told to Stripe.
SPLIT = f"""
WITH asked AS (
    SELECT * FROM unnest(%(consumers)s::bigint[], %(starts)s::timestamptz[],
                         %(ends)s::timestamptz[])
        WITH ORDINALITY AS asked (consumer_id, starts, ends, place))
SELECT place, coalesce(api_id = %(api)s, false), dims ->> %(dimension)s, {{figure}}
FROM asked CROSS JOIN LATERAL (
    SELECT api_id, dims, quantity, events FROM metering_usagetotal AS e
    WHERE e.consumer_id = asked.consumer_id AND e.meter_id = %(meter)s AND e.grain = 'hour'
      AND e.bucket >= date_trunc('hour', starts, 'UTC')
      AND e.bucket < date_trunc('hour', ends, 'UTC')
    UNION ALL
    SELECT e.api_id, metering_dimensions(e.properties, %(dimensions)s::jsonb), e.quantity,
           CASE WHEN e.voids THEN -1 ELSE 1 END
    FROM metering_usageevent AS e
    WHERE e.consumer_id = asked.consumer_id AND e.meter_id = %(meter)s
      AND e.counts_at >= date_trunc('hour', starts, 'UTC')
      AND e.counts_at < date_trunc('hour', ends, 'UTC')
      AND {NOT_ROLLED_UP}
) AS used GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Used:
    """[start, end) of one consumer."""

    consumer_id: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Part:
    """How much had this value of the dimension. `value` None: it was used through other APIs, or
    through none. "": the event told no value.
    """

    value: str | None
    quantity: Decimal


def usage_parts(
    *, meter: Meter, api: Api, dimension: str, spans: Sequence[Used]
) -> dict[Used, list[Part]]:
    """For each span its parts, only of meters that add up. Spans without usage are left out."""
    if meter.aggregation not in ADDED_UP or dimension not in meter.dimensions:
        raise ValueError(f"{meter.code} cannot be divided by {dimension}")
    query = SPLIT.replace("{figure}", FIGURES[Aggregation(meter.aggregation)])
    values: dict[str, Any] = {
        **{"meter": meter.pk, "api": api.pk, "dimension": dimension, "mark": MARK},
        "dimensions": orjson.dumps(meter.dimensions).decode(),
        "consumers": [span.consumer_id for span in spans],
        "starts": [span.start for span in spans],
        "ends": [span.end for span in spans],
    }
    sums: dict[Used, dict[str | None, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    with closing(connection.cursor()) as cursor:
        cursor.execute(query, values)
        for place, is_own, value, quantity in cursor:
            # What other APIs were used for is their creators' to know.
            sums[spans[place - 1]][(value or "") if is_own else None] += quantity
    return {
        span: [Part(value, quantity) for value, quantity in parts.items()]
        for span, parts in sums.items()
    }
