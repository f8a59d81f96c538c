"""Usage: one event by itself against a hard quota, and batches; each durable and told apart."""

from dataclasses import dataclass

import psycopg

from bench import data, events, shots
from bench.ask import ask, must
from bench.field import Field
from bench.gun import Plan, request
from bench.record import Figures, Finding
from bench.rounds import Contender

USERS = 1_000
OURS, THEIRS = "/api/v1/usage/events", "/api/billing/usage"


@dataclass(frozen=True)
class Sending:
    """How events are sent: `size` in a request, 0 for one by itself."""

    name: str
    title: str
    size: int
    a_second: int  # requests made ready for a second of a round: more than anybody answers
    connections: int = 0  # as the run's sizes say


SINGLE = Sending("usage", "Usage, one event in a request", 0, 6_000)
HUNDRED = Sending("batches-100", "Usage, batches of 100", 100, 600, 16)
THOUSAND = Sending("batches-1000", "Usage, batches of 1,000", 1_000, 70, 16)


def single(field: Field) -> Finding:
    return _measure(field, SINGLE)


def hundred(field: Field) -> Finding:
    return _measure(field, HUNDRED)


def thousand(field: Field) -> Finding:
    return _measure(field, THOUSAND)


def _measure(field: Field, sending: Sending) -> Finding:
    count = max(16, int(sending.a_second * field.sizes.seconds))
    users = min(USERS, field.place.consumers)
    body = _prove_ours(field, sending, users)
    path = field.bare_path(body)
    sent = _ours(sending, path, min(count, 64), users, body)
    events_each = sending.size or 1
    contenders = [
        Contender("bare granian", field.bare(), Plan(sent), events_each),
        Contender(
            "latchkey",
            field.ours(PUSH_CACHE="true"),
            _once(_ours(sending, OURS, count, users, b'"accepted":%d' % events_each)),
            events_each,
        ),
        *(_seeds(field, sending, users, count) if field.baselines else []),
    ]
    before = events.stored()
    figures = field.run(contenders, connections=sending.connections)
    stored, accepted = events.stored() - before, figures["latchkey"]["answered"]
    must(stored == accepted, "what was accepted is stored", stored, accepted)
    return Finding(sending.name, str(field.place), sending.title, figures)


def _ours(sending: Sending, path: str, count: int, users: int, answer: bytes) -> shots.Shots:
    return shots.events(
        path,
        count=count,
        size=sending.size,
        users=users,
        told=_told_to_us,
        answer=answer,
        enveloped="events",
    )


def _prove_ours(field: Field, sending: Sending, users: int) -> bytes:
    """An event counts once, whatever is sent; the answer to a new request."""
    port, each = field.ours(PUSH_CACHE="true").port, sending.size or 1
    for _ in range(3):  # by Django, and twice by the front door
        ((raw, _),) = _ours(sending, OURS, 1, users, b"")(0, 1)
        before = events.stored()
        first, again = ask(port, raw), ask(port, raw)
        must(first.status == 200 and first.json()["accepted"] == each, "ours accepts", first)
        must(again.json()["duplicates"] == each, "ours knows what it has", again)
        must(events.stored() == before + each, "ours stores each event once")
    return first.body


def _seeds(field: Field, sending: Sending, users: int, count: int) -> list[Contender]:
    answer = b'"recorded":%d' % sending.size if sending.size else b'"recorded":true'

    def theirs(count: int) -> shots.Shots:
        path = THEIRS + ("/batch" if sending.size else "")
        return shots.events(
            path, count=count, size=sending.size, users=users, told=_told_to_them, answer=answer
        )

    ((raw, _),) = theirs(1)(0, 1)
    _prove_seeds(field, raw, sending.size)
    return [Contender("seeds' design", field.seeds(), _once(theirs(count)), sending.size or 1)]


def _prove_seeds(field: Field, raw: bytes, size: int) -> None:
    port = field.seeds().port
    with field.servers.connect("run_seeds") as connection:
        before = _kept_by_seeds(connection)
        first, again = ask(port, raw), ask(port, raw)
        must(first.status == 200 and first.json()["recorded"] == (size or True), "recorded", first)
        must(not again.json()["recorded"], "the seeds' design knows what it has", again)
        after = _kept_by_seeds(connection)
        grown = (after[0] - before[0], after[1] - before[1])
        must(grown == (size or 1, size or 1), "it records and counts each event once", grown)
        connection.execute("UPDATE quotas SET api_calls_limit = 0 WHERE id = 1")
        body = b'{"id":"one-too-many","user_id":"user_0"}'
        over = ask(port, request("POST", THEIRS, shots.with_app_key(shots.JSON), body))
        must(over.status == 403, "the seeds' design refuses what is over the quota", over)
        connection.execute("UPDATE quotas SET api_calls_limit = 1000000000 WHERE id = 1")


def _kept_by_seeds(connection: psycopg.Connection) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM usage), (SELECT sum(api_calls_used) FROM quotas)::bigint"
    found = connection.execute(query).fetchone()
    assert found is not None
    return found[0], found[1]


def _once(made: shots.Shots) -> Plan:
    return Plan(made, repeats=False, exact=False)


def _told_to_us(name: str, user: str) -> dict[str, object]:
    told = {"id": name, "meter": data.METER, "user_id": user, "quantity": 1}
    return {**told, "properties": {"model": "m-1"}}


def _told_to_them(name: str, user: str) -> dict[str, object]:
    return {"id": name, "user_id": user, "quantity": 1, "metadata": {"model": "m-1"}}


def beside_an_empty_table(full: Figures, empty: Figures) -> float:
    """Speed at the full table, by what the same events cost in CPU at the empty one."""
    return empty["latchkey"]["all_us"] / full["latchkey"]["all_us"]
