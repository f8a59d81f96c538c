"""Usage: one event by itself against a hard quota, and batches; each durable and told apart."""

from bench import data
from bench.field import Field
from bench.gun import Plan
from bench.paths import shots
from bench.rounds import Contender, table

USERS = 1_000
LIMIT, SEEDS = "bare granian", "seeds' design"
OURS, THEIRS = "/api/v1/usage/events", "/api/billing/usage"
# How many requests are made ready for a second of a round: more than anybody answers.
A_SECOND = {0: 12_000, 100: 1_500, 1_000: 250}
NAMES = {0: "one event", 100: "batches of 100", 1_000: "batches of 1,000"}


def measure_single(field: Field) -> str:
    return _measure(field, 0)


def measure_batches(field: Field) -> str:
    """Before and after the table of events was filled."""
    empty = "\n".join(_measure(field, size) for size in (100, 1_000))
    data.fill_events(field.sizes.events)
    full = "\n".join(_measure(field, size) for size in (100, 1_000))
    return f"{empty}\n{full}"


def _measure(field: Field, size: int) -> str:
    users = min(USERS, field.sizes.consumers[0])
    field.furnish(field.sizes.consumers[0])
    count = max(8, int(A_SECOND[size] * field.sizes.seconds))
    ours = shots.events(
        OURS,
        count=count,
        size=size,
        users=users,
        told=_ours,
        answer=lambda each: b'"accepted":%d' % each,
        enveloped="events",
    )
    body = _answer(size)
    sent = shots.events(
        OURS, count=8, size=size, users=users, told=_ours, answer=lambda each: body,
        enveloped="events",
    )  # fmt: skip
    events = size or 1
    contenders = [
        Contender(LIMIT, field.bare(body), Plan(sent), events),
        Contender("latchkey", field.ours(PUSH_CACHE="true"), _once(ours), events),
        *(_seeds(field, size, users, count) if field.baselines else []),
    ]
    found = field.run(contenders)
    title = f"Usage, {NAMES[size]}, {_rows():,} events in the table"
    return table(title, found, limit=LIMIT, seeds=SEEDS)


def _seeds(field: Field, size: int, users: int, count: int) -> list[Contender]:
    theirs = shots.events(
        THEIRS + ("/batch" if size else ""),
        count=count,
        size=size,
        users=users,
        told=_theirs,
        answer=lambda each: b'"recorded":%d' % each if size else b'"recorded":true',
    )
    return [Contender(SEEDS, field.seeds(), _once(theirs), size or 1)]


def _once(made: shots.Shots) -> Plan:
    return Plan(made, repeats=False, exact=False)


def _ours(name: str, user: str) -> dict[str, object]:
    told = {"id": name, "meter": data.METER, "user_id": user, "quantity": 1}
    return {**told, "properties": {"model": "m-1"}}


def _theirs(name: str, user: str) -> dict[str, object]:
    return {"id": name, "user_id": user, "quantity": 1, "metadata": {"model": "m-1"}}


def _answer(size: int) -> bytes:
    """About as long as ours: a receipt for each."""
    receipt = b'{"id":"","source":"","status":"accepted","code":"","detail":"","event":""},'
    return receipt.ljust(145, b" ") * (size or 1)


def _rows() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_usageevent")
        return int(cursor.fetchone()[0])
