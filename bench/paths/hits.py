"""The push cache's hit rate, and what it is worth: by how many users there are to ask about.

Seed 002's question. Users are drawn with a skew, as in real life: a few are asked about all the
time, most hardly ever. A miss is a question to PostgreSQL, as /metrics tells it; each of the
changes meanwhile takes one answer out of every process.
"""

import random
import re
import statistics
import threading

from bench import data, shots
from bench.ask import ask, must
from bench.field import Field
from bench.gun import Plan, request
from bench.paths.entitlements import get
from bench.record import Finding
from bench.servers import Program

REQUESTS = 100_000  # drawn; sent again from the beginning when they are used up
# How uneven: shape of the Pareto distribution by which users are drawn; None: all alike.
SKEWS = {"a few users make most requests": 0.3, "all users alike": None}
CHANGES = (0, 20)  # a second
MISSES = re.compile(rb'latchkey_front_door_statements_total{statement="ready_answer"} (\S+)')
ASKED = re.compile(
    rb'latchkey_http_requests_total{method="GET",route="entitlements",status="200"} (\S+)'
)


def measure(field: Field) -> Finding:
    """From a cold cache on, and when it has run for a while."""
    figures = {}
    for name, skew in SKEWS.items():
        for changes in CHANGES:
            figures[f"{name}, {changes} changes a second"] = _row(field, skew, changes)
    return Finding("hits", str(field.place), "Hit rate of the push cache", figures, kind="hits")


def _row(field: Field, skew: float | None, changes: int) -> dict[str, float]:
    consumers = field.place.consumers
    program = field.ours(PUSH_CACHE="true")
    must(ask(program.port, get(0)).status == 200, "it answers")
    end = threading.Event()
    writer = threading.Thread(target=_change, args=(consumers, changes, end))
    writer.start()
    try:
        cold, later = (_phase(field, program, _drawn(consumers, skew, seed)) for seed in (7, 8))
    finally:
        end.set()
        writer.join()
    field.end(program)
    return {**{f"cold_{name}": value for name, value in cold.items()}, **later}


def _phase(field: Field, program: Program, users: list[int]) -> dict[str, float]:
    # The version is part of an answer, and changes with it: only that it is the right user's.
    asked = [(get(user), b'"user_id":"user_%d"' % user) for user in users]
    before = _told(program)
    seconds = field.sizes.seconds * field.sizes.rounds
    fired = field.fire(program, Plan(shots.share_of(asked), exact=False), seconds=seconds)
    after = _told(program)
    cuts = statistics.quantiles(fired.latencies, n=100)
    hits = 1 - (after[0] - before[0]) / max(1.0, after[1] - before[1])
    return {
        **{"hit_rate": hits, "per_s": fired.rate},
        **{"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000},
    }


def _told(program: Program) -> tuple[float, float]:
    """Misses and answers, as Prometheus reads them."""
    text = ask(program.port, request("GET", "/metrics", [shots.THROUGH_TLS])).body
    found = [pattern.search(text) for pattern in (MISSES, ASKED)]
    misses, asked = (float(one.group(1)) if one else 0.0 for one in found)
    return misses, asked


def _drawn(consumers: int, skew: float | None, seed: int) -> list[int]:
    dice, count = random.Random(seed), min(REQUESTS, consumers * 4)
    if skew is None:
        return [dice.randrange(consumers) for _ in range(count)]
    return [int(dice.paretovariate(skew)) % consumers for _ in range(count)]


def _change(consumers: int, a_second: int, end: threading.Event) -> None:
    """Change answers of users, until the end."""
    from django.db import connection

    if not a_second:
        return
    data.use(connection.settings_dict["NAME"])
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
