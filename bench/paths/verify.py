"""A gateway's question: whose key is this, and may it call once more within its rate limit?"""

import threading
import time
from collections import Counter

from bench import data, shots
from bench.ask import ask, must
from bench.field import Field
from bench.gun import Plan, request
from bench.record import Figures, Finding
from bench.rounds import Contender

KEYS = 2_000
PATH = "/api/v1/keys/verify"
A_MINUTE = 600  # the limit under which the admitted requests are counted
SECONDS = 3.0


def measure(field: Field) -> Finding:
    count = min(field.place.consumers, KEYS)
    ours = Plan(shots.share_of([(_get(n), b'"code":"VALID"') for n in range(count)]), exact=False)
    read, cached = field.ours(PUSH_CACHE="false"), field.ours(PUSH_CACHE="true")
    body = ask(cached.port, _get(0)).body
    for program in (read, cached):
        _prove_ours(program.port)
    raw = request("GET", field.bare_path(body), _headers(0))
    contenders = [
        Contender("bare granian", field.bare(), Plan(shots.always(raw, body))),
        Contender("PostgreSQL each time", read, ours),
        Contender("push cache", cached, ours, warm_up=count),
        *(_others(field, count) if field.baselines else []),
    ]
    figures = field.run(contenders)
    figures["push cache"] |= _admitted(cached.port, SECONDS if field.sizes.rounds > 1 else 0.5)
    return Finding("verify", str(field.place), "Key verified, rate limit counted", figures)


def told(figures: Figures) -> str:
    """How exact the limit is, below the table."""
    one = figures["push cache"]
    return (
        f"\nA key with {A_MINUTE} a minute and as many at once, asked as fast as it goes for "
        f"{one['asked_s']:.1f} s: {one['admitted']:.0f} of {one['asked']:.0f} were admitted; "
        f"exact would be {one['admissible']:.1f}."
    )


def _headers(number: int) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {data.token_of(number)}"), shots.THROUGH_TLS]


def _get(number: int) -> bytes:
    return request("GET", PATH, _headers(number))


def _prove_ours(port: int) -> None:
    for _ in range(3):  # by Django, from PostgreSQL, from memory
        reply = ask(port, _get(0))
        said = (reply.status, reply.json()["code"])
        must(said == (200, "VALID"), "ours finds the key valid", reply)
    unknown = ask(port, _get(data.MOST_KEYS + 1))
    must(unknown.json()["code"] == "NOT_FOUND", "ours knows no unknown key", unknown)


def _others(field: Field, count: int) -> list[Contender]:
    seeds = [_keyed("X-API-Key", f"sk_seed_{n}") for n in range(count)]
    keys = field.keys_of_drf(count)
    drf = [_keyed("Authorization", f"Api-Key {key}") for key in keys]
    _prove(field.seeds().port, seeds[0], _keyed("X-API-Key", "sk_seed_x"), 401)
    _prove(field.drf().port, drf[0], _keyed("Authorization", f"Api-Key {keys[0]}x"), 403)
    return [
        Contender("seeds' design", field.seeds(), Plan(shots.share_of(seeds), exact=False)),
        Contender("drf-api-key, throttle", field.drf(), Plan(shots.share_of(drf), exact=False)),
    ]


def _keyed(header: str, value: str) -> tuple[bytes, bytes]:
    return request("GET", "/whoami", [(header, value)]), b'"valid":true'


def _prove(port: int, good: tuple[bytes, bytes], bad: tuple[bytes, bytes], refusal: int) -> None:
    reply = ask(port, good[0])
    must(reply.status == 200 and reply.json()["valid"], "a good key is valid", reply)
    refused = ask(port, bad[0])
    must(refused.status == refusal, f"a bad key is refused with {refusal}", refused)


def _admitted(port: int, seconds: float) -> dict[str, float]:
    """What a key is admitted by several at once, and what its limit says."""
    raw = request("GET", PATH, [("X-API-Key", _limited_key()), shots.THROUGH_TLS])
    statuses: Counter[int] = Counter()
    began = time.monotonic()

    def insist() -> None:
        while time.monotonic() < began + seconds:
            statuses[ask(port, raw).status] += 1

    threads = [threading.Thread(target=insist) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - began
    return {
        "asked": statuses.total(),
        "asked_s": taken,
        "admitted": statuses[200],
        "admissible": min(statuses.total(), A_MINUTE + taken * A_MINUTE / 60),
    }


def _limited_key() -> str:
    from config.clock import now
    from keystore.models import Consumer
    from keystore.services import issue_key

    consumer = Consumer.objects.select_related("project").get(
        project__slug=data.SLUG, external_id=data.MODEL_USER
    )
    terms = {"own_limit_per_minute": A_MINUTE, "own_burst": A_MINUTE}
    said = {"project": consumer.project, "owner": consumer, "actor": "bench", "at": now()}
    return issue_key(**said, **terms).plaintext
