"""One consumer's answer made anew by our service, against how the seeds make it with their ORM."""

import statistics
import time

from bench import data
from bench.field import Field, load

TIMES = 300


def measure(field: Field) -> str:
    consumers = field.sizes.consumers[0]
    field.furnish(consumers)
    times = min(TIMES, consumers * 4)
    lines = [f"\n**One consumer's answer made anew, {times} times** (load {load()})\n"]
    lines.append("| | p50 ms | x seeds |\n|---|---|---|")
    changed, unchanged = _ours(times, consumers, changing=True), _ours(times, consumers)
    rows = {"with a changed plan": changed, "nothing differs": unchanged}
    seeds = field.recompute_of_seeds(times) if field.baselines else []
    base = statistics.median(seeds) if seeds else 0.0
    for name, taken in {**rows, **({"seeds' design": seeds} if seeds else {})}.items():
        median = statistics.median(taken)
        ratio = f"{base / median:.1f}" if base else ""
        lines.append(f"| {name} | {median * 1000:.2f} | {ratio} |")
    return "\n".join(lines)


def _ours(times: int, consumers: int, *, changing: bool = False) -> list[float]:
    """Seconds of each. Changing: the answer that is there says something else."""
    from config.clock import now
    from entitlements.models import Answer
    from entitlements.services import refresh_answer
    from keystore.models import Consumer

    names = [f"user_{number}" for number in range(consumers)][:times]
    known = Consumer.objects.select_related("project").filter(
        project__slug=data.SLUG, external_id__in=names
    )
    found, taken = list(known), []
    for turn in range(times):
        consumer = found[turn % len(found)]
        if changing:
            Answer.objects.filter(consumer=consumer).update(body="{}")
        began = time.perf_counter()
        refresh_answer(consumer=consumer, at=now())
        taken.append(time.perf_counter() - began)
    return taken
