"""The push cache's hit rate, and what it is worth: by how many users there are to ask about.

Seed 002's question. Users are drawn with a skew, as in real life: a few are asked about all the
time, most hardly ever. A hit is a request about which PostgreSQL was not asked; each of the changes
meanwhile takes one answer out of every process.
"""

import random
import statistics
import threading
import time

from bench import data
from bench.field import Field, load
from bench.gun import Plan, fire, request
from bench.paths import shots

REQUESTS = 20_000  # drawn, then sent again and again
# How uneven: shape of the Pareto distribution by which users are drawn; None: all alike.
SKEWS = {"a few users make most requests": 0.3, "all users alike": None}
CHANGES = (0, 20)  # a second
ASKED = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'entitlements_answer'"


def measure(field: Field) -> str:
    """Hit rate and speed, from a cold cache on."""
    consumers = field.sizes.consumers[min(1, len(field.sizes.consumers) - 1)]
    field.furnish(consumers)
    lines = [
        f"\n**Hit rate of the push cache, {consumers:,} consumers, first seconds after a start** "
        f"(load {load()})\n",
        "| users | changes a second | hit rate | per s | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for name, skew in SKEWS.items():
        for changes in CHANGES:
            lines.append(f"| {name} | {changes} | {_row(field, consumers, skew, changes)} |")
    return "\n".join(lines)


def _row(field: Field, consumers: int, skew: float | None, changes: int) -> str:
    drawn = _drawn(consumers, skew, min(REQUESTS, consumers * 4))
    # The version is part of an answer, and changes with it: only that it is the right user's.
    asked = [(request("GET", _path(user), shots.with_app_key()), _marker(user)) for user in drawn]
    program = field.servers.serve_wsgi("latchkey", "config.wsgi:application", PUSH_CACHE="true")
    end = threading.Event()
    writer = threading.Thread(target=_change, args=(consumers, changes, end))
    writer.start()
    try:
        before = _times_asked()
        plan = Plan(shots.share_of(asked), exact=False)
        seconds = field.sizes.seconds * field.sizes.rounds
        fired = fire(program.port, plan, connections=field.sizes.connections, seconds=seconds)
    finally:
        end.set()
        writer.join()
    field.servers.end(program)  # its figures are written when it disconnects
    asked_for = _times_asked() - before
    cuts = statistics.quantiles(fired.latencies, n=100)
    rate = max(0.0, 1 - asked_for / fired.count)
    return f"{rate:.1%} | {fired.rate:,.0f} | {cuts[49] * 1000:.2f} | {cuts[98] * 1000:.1f}"


def _drawn(consumers: int, skew: float | None, count: int) -> list[int]:
    dice = random.Random(7)
    if skew is None:
        return [dice.randrange(consumers) for _ in range(count)]
    return [int(dice.paretovariate(skew)) % consumers for _ in range(count)]


def _path(user: int) -> str:
    return f"/api/v1/entitlements?user_id=user_{user}"


def _marker(user: int) -> bytes:
    return b'"user_id":"user_%d"' % user


def _times_asked() -> int:
    """How often PostgreSQL looked up an answer, by its own count."""
    from django.db import connection

    time.sleep(0.3)  # a session that ended reports a moment later
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(ASKED)
        return int(cursor.fetchone()[0] or 0)


def _change(consumers: int, a_second: int, end: threading.Event) -> None:
    """Change answers of users, until the end."""
    from django.db import connection

    if not a_second:
        return
    with connection.cursor() as cursor:
        # What a service's write does to the caches; the next recomputation takes it back.
        while not end.wait(1 / a_second):
            user = f"user_{random.randrange(consumers)}"
            cursor.execute(CHANGE, [data.SLUG, user])
    connection.close()


CHANGE = """
UPDATE entitlements_answer SET changes_at = changes_at + interval '1 microsecond'
WHERE consumer_id = (
    SELECT c.id FROM keystore_consumer AS c JOIN keystore_project AS p ON p.id = c.project_id
    WHERE p.slug = %s AND c.external_id = %s)
"""
