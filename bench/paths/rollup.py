"""New events into totals by hour and day, against adding the same events up without keeping it."""

import statistics
import time
from collections.abc import Callable
from functools import partial

from bench import events
from bench.ask import must
from bench.field import Field
from bench.record import Figures, Finding

AT_ONCE = 1_000  # new events in a transaction
SINCE = "xid >= %s::xid8"
GROUPED = """
SELECT count(*) FROM (SELECT consumer_id, meter_id, date_trunc('hour', counts_at, 'UTC'),
    sum(quantity), count(*) FROM metering_usageevent WHERE {which} GROUP BY 1, 2, 3) AS made
"""
NEW, ALL, OURS = "GROUP BY of the new, kept nowhere", "GROUP BY of all", "roll-up of the new"
Taken = tuple[float, float]  # seconds, and seconds of PostgreSQL's CPU


def measure(field: Field) -> Finding:
    from django.db import connection

    new = field.sizes.new_events
    found: dict[str, list[Taken]] = {NEW: [], OURS: [], ALL: []}
    _count(field)
    with connection.cursor() as cursor:
        for _ in range(field.sizes.rounds):
            first = _write(cursor, new)
            grouped = partial(cursor.execute, GROUPED.format(which=SINCE), [first])
            found[NEW].append(_timed(field, grouped))
            found[OURS].append(_timed(field, partial(_count, field, new)))
        everything = partial(cursor.execute, GROUPED.format(which="true"))
        found[ALL].append(_timed(field, everything))
    rows = events.stored()
    _prove()
    counts = {NEW: new, OURS: new, ALL: rows}
    figures: Figures = {name: _figures(taken, counts[name]) for name, taken in found.items()}
    title = f"Roll-up by hour and day, {new:,} new events on top of {rows:,}; totals proven after"
    return Finding("rollup", str(field.place), title, figures, kind="rollup")


def _figures(taken: list[Taken], count: int) -> dict[str, float]:
    seconds, cpu = (statistics.median(each) for each in zip(*taken, strict=True))
    return {"per_s": count / seconds, "pg_us": cpu / count * 1e6}


def _write(cursor, count: int) -> str:  # type: ignore[no-untyped-def]
    """New events, in transactions of a thousand; the first one's transaction."""
    cursor.execute("SELECT pg_current_xact_id()")
    (first,) = cursor.fetchone()
    there = events.stored()  # theirs follow in time
    for start in range(there, there + count, AT_ONCE):
        events.write(cursor, start, min(start + AT_ONCE, there + count))
    return str(first)


def _count(field: Field, new: int = 0) -> None:
    """Count what is new; without a number, whatever there is."""
    from config.clock import now
    from metering.rollup import count_new

    counted, more = 0, True
    while more:
        step = count_new(at=now())
        counted, more = counted + step.events, step.more
    must(not new or counted == new, "the roll-up sees each new event", counted)


def _prove() -> None:
    from metering.rebuild import prove_totals

    differences = prove_totals().differences
    must(not differences, "the totals are what the events say", differences[:3])


def _timed(field: Field, work: Callable[[], object]) -> Taken:
    began, cpu = time.perf_counter(), field.servers.database_cpu_seconds()
    work()
    return time.perf_counter() - began, field.servers.database_cpu_seconds() - cpu
