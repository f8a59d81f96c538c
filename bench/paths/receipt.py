"""A webhook of Stripe's: verified, stored, acknowledged."""

from collections.abc import Sequence

from bench import shots
from bench.ask import Reply, ask, must
from bench.baselines import djstripe_uuid
from bench.field import Field
from bench.gun import Plan
from bench.record import Finding
from bench.rounds import Contender
from bench.servers import Program

OURS, THEIRS = "/webhooks/stripe", "/api/v1/webhooks/stripe"
VIEW = f"/webhook/{djstripe_uuid.UUID}/"
A_SECOND = 6_000  # requests made ready: more than anybody answers
STORED = {
    "run_latchkey": "SELECT count(*) FROM billing_inboxevent",
    "run_seeds": "SELECT count(*) FROM webhook_events WHERE processed",
    # What it received, found valid and worked off, with the event that it made of it.
    "run_djstripe": "SELECT count(*) FROM djstripe_webhookeventtrigger AS t JOIN djstripe_event"
    " AS e ON e.id = t.event_id WHERE t.valid AND t.processed",
    # With a callback it makes no event.
    "received": "SELECT count(*) FROM djstripe_webhookeventtrigger WHERE valid",
}


def measure(field: Field) -> Finding:
    count = max(16, int(A_SECOND * field.sizes.seconds))
    known = [f"cus_bench{number}" for number in range(min(1_000, field.place.consumers))]

    def plan(path: str, number: int, customers: Sequence[str], marker: bytes) -> Plan:
        made = shots.stripe_events(path, count=number, customers=customers, answer=marker)
        return Plan(made, repeats=False, exact=False)

    ours = field.ours(PUSH_CACHE="true")
    body = _prove(field, ours, OURS, known, "run_latchkey").body
    bare = shots.stripe_events(field.bare_path(body), count=64, customers=known, answer=body)
    contenders = [
        Contender("bare granian", field.bare(), Plan(bare)),
        Contender("latchkey", ours, plan(OURS, count, known, b'"first_time": true')),
    ]
    if field.baselines:
        _prove(field, field.seeds(), THEIRS, known, "run_seeds")
        theirs = plan(THEIRS, count // 4, known, b'"received":true')
        contenders.append(Contender("seeds' design", field.seeds(), theirs))
        contenders += _djstripe(field, plan, max(16, count // 8))
    figures = field.run(contenders)
    return Finding("receipt", str(field.place), "Webhook receipt, one event each", figures)


def _djstripe(field, plan, count: int) -> list[Contender]:  # type: ignore[no-untyped-def]
    """Its own view as it is, and with a callback that does nothing."""
    known = field.customers_of_djstripe()
    inline, storing = field.djstripe(), field.djstripe(BENCH_ONLY_STORE="1")
    _prove(field, inline, VIEW, known, "run_djstripe")
    _prove(field, storing, VIEW, known, "run_djstripe", "received")
    asked = plan(VIEW, count, known, b"")
    return [
        Contender("dj-stripe's view", inline, asked),
        Contender("dj-stripe, only storing", storing, asked),
    ]


def _prove(
    field: Field,
    program: Program,
    path: str,
    customers: Sequence[str],
    database: str,
    query: str = "",
) -> Reply:
    """Signed events are taken and kept, others are refused; the answer to a good one."""
    made = shots.stripe_events(path, count=3, customers=customers, answer=b"")(0, 1)
    with field.servers.connect(database) as connection:

        def stored() -> int:
            found = connection.execute(STORED[query or database]).fetchone()  # type: ignore[call-overload]
            assert found is not None
            return int(found[0])

        before = stored()
        replies = [ask(program.port, raw) for raw, _ in made]
        good = all(reply.status == 200 for reply in replies)
        must(good, f"{program.name} takes signed events", replies)
        kept = stored() - before
        must(kept == len(made), f"{program.name} keeps each of them", kept)
        forged = made[0][0].replace(b"v1=", b"v1=0", 1)
        refused = ask(program.port, forged)
        must(refused.status == 400, f"{program.name} refuses a wrong signature", refused)
        must(stored() - before == kept, f"{program.name} keeps nothing that was forged")
    return replies[-1]
