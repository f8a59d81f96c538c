"""One consumer's answer made anew by our service, against how the seeds make it with their ORM."""

import statistics
import time

from bench import data
from bench.field import Field
from bench.record import Figures, Finding

TIMES, TURNS = 100, 3


def measure(field: Field) -> Finding:
    turns = TURNS if field.sizes.rounds > 1 else 1
    times = min(TIMES, field.place.consumers // 10)
    taken: dict[str, list[list[float]]] = {}
    for _ in range(turns):
        taken.setdefault("with a changed plan", []).extend(_ours(field, times, changing=True))
        taken.setdefault("nothing differs", []).extend(_ours(field, times))
        if field.baselines:
            taken.setdefault("seeds' design", []).extend(field.recompute_of_seeds(times))
    figures: Figures = {name: _figures(rows) for name, rows in taken.items()}
    title = f"One consumer's answer made anew, {times * turns} times"
    return Finding("recompute", str(field.place), title, figures, kind="recompute")


def _figures(rows: list[list[float]]) -> dict[str, float]:
    taken = sorted(row[0] for row in rows)
    return {
        "p50_ms": statistics.median(taken) * 1000,
        "p99_ms": taken[len(taken) * 99 // 100] * 1000,
        "cpu_us": statistics.fmean(row[1] for row in rows) * 1e6,
    }


def _ours(field: Field, times: int, *, changing: bool = False) -> list[list[float]]:
    """Seconds, and seconds of CPU, of each. Changing: the stored answer says something else."""
    from config.clock import now
    from entitlements.models import Answer
    from entitlements.services import refresh_answer
    from keystore.models import Consumer

    names = [f"user_{number}" for number in range(times)]
    known = Consumer.objects.select_related("project").filter(
        project__slug=data.SLUG, external_id__in=names
    )
    taken = []
    for consumer in list(known):
        if changing:
            Answer.objects.filter(consumer=consumer).update(body="{}")
        began, cpu = time.perf_counter(), time.process_time()
        refresh_answer(consumer=consumer, at=now())
        taken.append([time.perf_counter() - began, time.process_time() - cpu])
    return taken
