"""What do the hot answers cost beside a callable that does nothing, and beside Django?

Each has a granian of its own with one worker and four threads; they take turns, so that the
machine's noise strikes all of them. Run it as `python -m bench.hotway --consumers 100000`.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Measured, load, memory_of
from bench.stand import SECRET, Served, Stand, get, new_stand, post
from sandbox.webhooks import sign
from tests import template

APPLICATION = "config.wsgi:application"
Requests = list[bytes] | Callable[[], bytes]


@dataclass
class Case:
    name: str
    server: Served
    requests: Requests


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.hotway", description=__doc__)
    parser.add_argument("--consumers", type=int, default=10_000)
    parser.add_argument("--warm", type=int, default=1_000, help="of whom so many come back")
    parser.add_argument("--seconds", type=float, default=2, help="for each case in each round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="latchkey-bench-"))
    stand = new_stand(base)
    try:
        made = stand.open(options.consumers)
        report(run(cases(stand, made, options), options))
    finally:
        stand.stop()
        template.remove(base)


def cases(stand: Stand, made: dict[str, Any], options: argparse.Namespace) -> list[Case]:
    path = "/api/v1/entitlements?user_id=user_"
    all_of_them = [get(f"{path}{n}", X_API_Key=made["app"]) for n in range(options.consumers)]
    some = all_of_them[: options.warm]
    verify = [get("/api/v1/keys/verify", X_API_Key=key) for key in made["keys"]]
    bare = stand.serve("bare", "bench.bare:application", BARE_BODY=made["body"])
    django = stand.serve("django", APPLICATION, FRONT_DOOR="false")
    read = stand.serve("read", APPLICATION, PUSH_CACHE="false")
    held = stand.serve("held", APPLICATION)
    return [
        Case("bare granian", bare, some),
        Case("entitlements: Django", django, all_of_them),
        Case("entitlements: read each time", read, all_of_them),
        Case("entitlements: push cache, warm", held, some),
        Case("verify + rate limit: Django", django, verify),
        Case("verify + rate limit: push cache", held, verify),
        Case("webhook receipt: Django", django, signed_event),
        Case("webhook receipt", held, signed_event),
    ]


_numbers = itertools.count()


def signed_event() -> bytes:
    number = next(_numbers)
    event = {
        "id": f"evt_bench_{time.time_ns()}_{number}",
        "object": "event",
        "type": "customer.subscription.updated",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    }
    body = json.dumps(event).encode()
    return post("/webhooks/stripe", body, Stripe_Signature=sign(body, SECRET, int(time.time())))


def run(found: list[Case], options: argparse.Namespace) -> list[tuple[Case, Measured]]:
    measured = [(case, Measured()) for case in found]
    for turn in range(options.rounds + 1):
        for case, total in measured:
            one = load(
                case.server.port,
                case.requests,
                seconds=options.seconds if turn else 1.0,
                connections=options.connections,
                pids=case.server.pids,
            )
            if turn:  # the first round only warms
                total.add(one)
    return measured


def report(measured: list[tuple[Case, Measured]]) -> None:
    limit = measured[0][1]
    print("| case | answers/s | of bare | CPU us | of bare, by CPU | p50 ms | p99 ms | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for case, one in measured:
        cells = [
            case.name,
            f"{one.per_second:,.0f}",
            f"{one.per_second / limit.per_second:.2f}",
            f"{one.cpu_us:.0f}",
            f"{limit.cpu_us / one.cpu_us:.2f}",
            f"{one.percentile(0.5):.1f}",
            f"{one.percentile(0.99):.1f}",
            f"{memory_of(case.server.pids):.0f}",
        ]
        refused = one.answers - one.statuses[200]
        print(f"| {' | '.join(cells)} |{f' {refused} refused' if refused else ''}")


if __name__ == "__main__":
    main()
