"""How fast is a webhook acknowledged, also when Stripe is slow and Redis hangs?

`make bench ARGS=pace` runs it: granian with two processes as in the Dockerfile, DEBUG off, a
durable PostgreSQL, one connection per request as Stripe makes them, signed events that differ.
"""

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests import template
from tests.faults.http import post_signed
from tests.faults.stack import SECRET, Stack
from tests.faults.transactions import Watch

STRIPE_SECONDS = 0.5
ROUNDS = 5
NORMAL, STRIPE_SLOW, REDIS_HUNG = "normal", "Stripe answers in 500 ms, worker busy", "Redis hangs"
WEB_PROCESSES = 2
THROUGH_TLS = {"X_Forwarded_Proto": "https"}  # as the proxy in front says
_numbers = itertools.count()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.apart.pace", description=__doc__)
    parser.add_argument("--rate", type=float, default=20, help="events a second")
    parser.add_argument("--seconds", type=float, default=30, help="for each of the cases")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="latchkey-bench-"))
    stack = Stack(base, web_processes=WEB_PROCESSES, debug=False)
    try:
        stack.start()
        report(run(stack, options.rate, options.seconds), options)
    finally:
        stack.stop()
        template.remove(base)


def run(stack: Stack, rate: float, seconds: float) -> dict[str, list[float]]:
    """Milliseconds until each acknowledgement, case by case.

    The cases take turns, so that a noisy machine is noisy for all of them.
    """
    holders = customers(stack)
    measure(stack, rate, 3, holders)  # connections are opened, code is loaded
    found: dict[str, list[float]] = {case: [] for case in (NORMAL, STRIPE_SLOW, REDIS_HUNG)}
    with Watch(stack) as watch:
        for _ in range(ROUNDS):
            found[NORMAL] += measure(stack, rate, seconds / ROUNDS, holders)
            stack.fault("*", "latency", seconds=STRIPE_SECONDS)
            found[STRIPE_SLOW] += measure(stack, rate, seconds / ROUNDS, holders)
            stack.control("faults/clear")
            stack.halt("valkey")
            found[REDIS_HUNG] += measure(stack, rate, seconds / ROUNDS, holders)
            stack.resume("valkey")
    print(
        f"No transaction waited for us longer than {watch.longest_seconds * 1000:.0f} ms "
        f"({watch.samples} samples)."
    )
    return found


def customers(stack: Stack) -> list[str]:
    """Stripe customers of buyers, so that the worker has something to do for each event."""
    for number in range(4):
        begun = stack.begin(f"bench-{number}", **THROUGH_TLS)
        assert begun.status == 200, begun
    return [row[0] for row in stack.rows("select stripe_customer_id from billing_stripecustomer")]


def measure(stack: Stack, rate: float, seconds: float, holders: list[str]) -> list[float]:
    """Send at a steady rate, whether the earlier ones were answered or not."""
    taken: list[float] = []
    threads = []
    began = time.perf_counter()
    for turn in range(int(rate * seconds)):
        time.sleep(max(0.0, began + turn / rate - time.perf_counter()))
        holder = holders[turn % len(holders)]
        threads.append(threading.Thread(target=send, args=(stack, holder, taken)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return taken


def send(stack: Stack, holder: str, taken: list[float]) -> None:
    event = {
        "id": f"evt_bench_{next(_numbers)}",
        "object": "event",
        "type": "customer.updated",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": holder, "object": "customer"}},
    }
    answer = post_signed(f"{stack.web}/webhooks/stripe", event, SECRET, **THROUGH_TLS)
    assert answer.status == 200, answer
    taken.append(answer.seconds * 1000)


def report(found: dict[str, list[float]], options: argparse.Namespace) -> None:
    print(f"\nWebhook receipt, {options.rate:.0f} events/s for {options.seconds:.0f} s each, ms")
    head = f"{'case':<40}{'n':>6}{'p50':>8}{'p99':>8}{'p50 ratio':>11}{'p99 ratio':>11}"
    print(head)
    usual = [percentile(found[NORMAL], part) for part in (50, 99)]
    for name, taken in found.items():
        p50, p99 = (percentile(taken, part) for part in (50, 99))
        ratios = f"{p50 / usual[0]:>11.2f}{p99 / usual[1]:>11.2f}"
        print(f"{name:<40}{len(taken):>6}{p50:>8.1f}{p99:>8.1f}{ratios}")


def percentile(taken: list[float], part: int) -> float:
    return statistics.quantiles(taken, n=100)[part - 1]


if __name__ == "__main__":
    main()
