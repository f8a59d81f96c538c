"""A webhook of Stripe's: verified, stored, acknowledged."""

from bench.baselines import djstripe_uuid
from bench.field import Field
from bench.gun import Plan
from bench.paths import shots
from bench.rounds import Contender, table

LIMIT, SEEDS = "bare granian", "seeds' design"
OURS, THEIRS = "/webhooks/stripe", "/api/v1/webhooks/stripe"
A_SECOND = 12_000  # requests made ready: more than anybody answers


def measure(field: Field) -> str:
    field.furnish(field.sizes.consumers[0])
    count = max(8, int(A_SECOND * field.sizes.seconds))
    body = b'{"received": true, "event_id": "evt_0123456789abcdefx000", "first_time": true}'
    customers = [f"cus_bench{number}" for number in range(min(1_000, field.sizes.consumers[0]))]

    def plan(path: str, number: int, names: list[str], marker: bytes) -> Plan:
        made = shots.stripe_events(path, count=number, customers=names, answer=lambda _: marker)
        return Plan(made, repeats=False, exact=False)

    ours = plan(OURS, count, customers, b'"first_time": true')
    bare = shots.stripe_events(OURS, count=64, customers=customers, answer=lambda _: body)
    contenders = [
        Contender(LIMIT, field.bare(body), Plan(bare)),
        Contender("latchkey", field.ours(PUSH_CACHE="true"), ours),
    ]
    if field.baselines:
        theirs = plan(THEIRS, count, customers, b'"received":true')
        contenders.append(Contender(SEEDS, field.seeds(), theirs))
        known = field.customers_of_djstripe()
        view = plan(f"/webhook/{djstripe_uuid.UUID}/", max(8, count // 10), known, b"")
        contenders += [
            Contender("dj-stripe's view", field.djstripe(), view),
            Contender("dj-stripe, only storing", field.djstripe(BENCH_ONLY_STORE="1"), view),
        ]
    found = field.run(contenders)
    return table("Webhook receipt, one event each", found, limit=LIMIT, seeds=SEEDS)
