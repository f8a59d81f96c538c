"""A gateway's question: whose key is this, and may it call once more within its rate limit?"""

from bench import data
from bench.field import Field
from bench.gun import Plan, request
from bench.paths import shots
from bench.rounds import Contender, table

KEYS = 2_000
LIMIT, SEEDS = "bare granian", "seeds' design"
PATH = "/api/v1/keys/verify"


def measure(field: Field) -> str:
    consumers = field.sizes.consumers[min(1, len(field.sizes.consumers) - 1)]
    field.furnish(consumers)
    count = min(consumers, KEYS)
    ours = Plan(shots.share_of([_ours(number) for number in range(count)]), exact=False)
    body = b"x" * 400  # about what ours says
    contenders = [
        Contender(LIMIT, field.bare(body), Plan(shots.always("GET", PATH, body))),
        Contender("push cache", field.ours(PUSH_CACHE="true"), ours),
        Contender("PostgreSQL each time", field.ours(PUSH_CACHE="false"), ours),
        *(_others(field, count) if field.baselines else []),
    ]
    found = field.run(contenders, warm_up=count)
    title = f"Key verified, rate limit counted, {consumers:,} keys"
    return table(title, found, limit=LIMIT, seeds=SEEDS)


def _others(field: Field, count: int) -> list[Contender]:
    seeds = [_keyed("/whoami", "X-API-Key", f"sk_seed_{n}") for n in range(count)]
    keys = field.keys_of_drf(count)
    drf = [_keyed("/whoami", "Authorization", f"Api-Key {key}") for key in keys]
    return [
        Contender(SEEDS, field.seeds(), Plan(shots.share_of(seeds), exact=False)),
        Contender("drf-api-key, throttle", field.drf(), Plan(shots.share_of(drf), exact=False)),
    ]


def _ours(number: int) -> tuple[bytes, bytes]:
    headers = [("Authorization", f"Bearer {data.token_of(number)}"), shots.THROUGH_TLS]
    return request("GET", PATH, headers), b'"code":"VALID"'


def _keyed(path: str, header: str, value: str) -> tuple[bytes, bytes]:
    return request("GET", path, [(header, value)]), b'"valid":true'
