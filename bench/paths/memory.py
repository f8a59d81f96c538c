"""What a web process takes, with none and with very many answers held."""

from bench import data
from bench.ask import ask, must
from bench.field import Field
from bench.gun import Plan
from bench.paths.entitlements import get
from bench.record import Finding
from bench.shots import share_of

MOST = 100_000


def measure(field: Field) -> Finding:
    count = min(MOST, field.place.consumers)
    answers = data.answers_of(list(range(count)))
    plan = Plan(share_of([(get(user), body) for user, body in answers]), repeats=False)
    figures: dict[str, dict[str, float]] = {}
    for name, megabytes in (("by default", {}), ("with room for all", ROOM)):
        program = field.ours(PUSH_CACHE="true", **megabytes)
        for _ in range(3):
            reply = ask(program.port, get(*answers[0][:1]))
            must(reply.status == 200, "it answers", reply)
        if not megabytes:
            figures["just started"] = _memory(program)
        asked = field.fire(program, plan, connections=8, seconds=600).count
        must(asked >= count - 1, "each is asked for once", asked, count)
        figures[f"{count:,} answers asked for, {name}"] = _memory(program)
        field.end(program)
    return Finding("memory", str(field.place), "Memory of a web process", figures, kind="memory")


ROOM = {"PUSH_CACHE_MEGABYTES": "1000"}


def _memory(program) -> dict[str, float]:  # type: ignore[no-untyped-def]
    resident, own = program.megabytes()
    return {"rss_mb": resident, "pss_mb": own}
