"""New events into totals by hour and day, against adding the same events up without keeping it."""

import statistics
import time
from functools import partial

from bench import data
from bench.field import Field, load

NEW = 100_000
SINCE = "xid >= %s::xid8"
GROUPED = """
SELECT count(*) FROM (SELECT consumer_id, meter_id, date_trunc('hour', counts_at, 'UTC'),
    sum(quantity), count(*) FROM metering_usageevent WHERE {which} GROUP BY 1, 2, 3) AS made
"""


def measure(field: Field) -> str:
    from django.db import connection

    field.furnish(field.sizes.consumers[0])
    data.fill_events(field.sizes.events)
    new = min(NEW, field.sizes.events)
    ours, bare = [], []
    with connection.cursor() as cursor:
        for turn in range(max(3, field.sizes.rounds)):
            first = _write(cursor, turn, new)
            bare.append(new / _timed(partial(cursor.execute, GROUPED.format(which=SINCE), [first])))
            ours.append(new / _timed(lambda: _count(new)))
        cursor.execute("SELECT count(*) FROM metering_usageevent")
        (rows,) = cursor.fetchone()
        whole = rows / _timed(lambda: cursor.execute(GROUPED.format(which="true")))
    _prove()
    rate, limit = statistics.median(ours), statistics.median(bare)
    lines = [
        f"\n**Roll-up by hour and day, {new:,} new events on top of {rows:,}** (load {load()})\n",
        "| | events per s | of a bare GROUP BY |\n|---|---|---|",
        f"| bare GROUP BY of the new events, kept nowhere | {limit:,.0f} | 1 |",
        f"| bare GROUP BY of all | {whole:,.0f} | {whole / limit:.2f} |",
        f"| roll-up of the new events | {rate:,.0f} | {rate / limit:.2f} ({rate / whole:.2f} of "
        "the one of all) |",
    ]
    return "\n".join(lines)


def _write(cursor, turn: int, count: int) -> str:  # type: ignore[no-untyped-def]
    """New events, in transactions of a thousand; the first one's transaction."""
    cursor.execute("SELECT pg_current_xact_id()")
    (first,) = cursor.fetchone()
    # Where no earlier turn wrote: their instants follow those that are there.
    cursor.execute("SELECT count(*) FROM metering_usageevent")
    (there,) = cursor.fetchone()
    terms = {"slug": data.SLUG, "users": data.EVENT_USERS, "meter": data.METER}
    for start in range(there, there + count, 1_000):
        end = min(start + 1_000, there + count) - 1
        cursor.execute(data.FILL_EVENTS, {**terms, "first": start, "last": end})
    return str(first)


def _count(new: int) -> None:
    from config.clock import now
    from metering.rollup import count_new

    left = new
    while left > 0:
        step = count_new(at=now())
        left -= step.events
        if not step.more and left > 0:
            raise RuntimeError(f"{left} new events were not seen")


def _prove() -> None:
    """The totals are what the events say."""
    from metering.rebuild import prove_totals

    assert not prove_totals().differences


def _timed(work) -> float:  # type: ignore[no-untyped-def]
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
