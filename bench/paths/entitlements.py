"""What a user may use: asked for, by an app, about one of many users."""

import random

from bench import data, shots
from bench.ask import ask, must
from bench.field import Field
from bench.gun import Plan, request
from bench.record import Finding
from bench.rounds import Contender

ASKED_ABOUT = 10_000  # users, or all if there are fewer
FEW = 500  # users for the slow: all of theirs are in Redis before the first round
PATH = "/api/v1/entitlements?user_id=user_{}"


def measure(field: Field) -> Finding:
    consumers = field.place.consumers
    users = random.Random(1).sample(range(consumers), min(consumers, ASKED_ABOUT))
    answers = data.answers_of(users)
    plan = Plan(shots.share_of([(get(user), body) for user, body in answers]))
    body = answers[0][1]
    raw = request("GET", field.bare_path(body), shots.with_app_key())
    contenders = [
        Contender("bare granian", field.bare(), Plan(shots.always(raw, body))),
        Contender("PostgreSQL each time", field.ours(PUSH_CACHE="false"), plan),
        Contender("push cache", field.ours(PUSH_CACHE="true"), plan, warm_up=len(users)),
        *_others(field, answers[:FEW]),
    ]
    for one in contenders[1:3]:
        _prove_ours(one.program.port, *answers[0])
    # Every answer is asked for once before where there is a cache, theirs and ours.
    figures = field.run(contenders)
    return Finding("entitlements", str(field.place), "Entitlements of one user", figures)


def get(user: int, key: str = data.APP_KEY) -> bytes:
    headers = [("X-API-Key", key), shots.THROUGH_TLS]
    return request("GET", PATH.format(user), headers)


def _others(field: Field, answers: list[tuple[int, bytes]]) -> list[Contender]:
    if not field.baselines:
        return []
    shown = b'"feature_code":"exports"'
    ours = shots.share_of([(get(user), body) for user, body in answers])
    theirs = shots.share_of([(get(user), shown) for user, _ in answers])
    _prove_seeds(field.seeds().port, answers[0][0])
    return [
        Contender("Django, no front door", field.ours(FRONT_DOOR="false"), Plan(ours)),
        Contender("seeds' design", field.seeds(), Plan(theirs, exact=False), warm_up=FEW),
    ]


def _prove_ours(port: int, user: int, body: bytes) -> None:
    for _ in range(3):  # by Django, from PostgreSQL, from memory
        must(ask(port, get(user)).body == body, "ours answers with the stored answer")
    refused = ask(port, get(user, "sk_bench_another_key"))
    must(refused.status == 401, "ours refuses an unknown key", refused)


def _prove_seeds(port: int, user: int) -> None:
    for _ in range(2):  # from PostgreSQL, from Redis
        reply = ask(port, get(user))
        must(reply.status == 200, "the seeds' design answers", reply)
        shown = [(one["feature_code"], one["active"]) for one in reply.json()["entitlements"]]
        both = [("api_calls", True), ("exports", True)]
        must(sorted(shown) == both, "the seeds' design shows both features", reply)
    refused = ask(port, get(user, "sk_bench_another_key"))
    must(refused.status == 401, "the seeds' design refuses an unknown key", refused)
