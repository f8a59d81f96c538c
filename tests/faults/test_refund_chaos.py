"""Refunds while half of Stripe's answers are bad and worker and PostgreSQL are killed: each once.

300 in `make prove`, eight in the suite. REFUNDS says how many.
"""

import os
import threading
import time
from contextlib import suppress

import psycopg
import pytest

from tests.faults.http import call
from tests.faults.test_kills import SANDBOX_KEY

KINDS = ("rate_limit", "server_error", "server_error_after", "reset_before", "reset_after")
EACH = 0.13  # one of the five strikes a call with probability 1/2
PER_BUYER = 5
CAPTURED_MINOR = 10_000
LARGEST_MINOR = CAPTURED_MINOR // 3  # a second and a third one would be executed, too
END_SECONDS = 900
AIM_SECONDS = 4.0
SLOW_SECONDS = 12.0  # longer than a worker needs to come back from the dead
# What the clock would do, without waiting for it: leases run out, retries are due, and a saved
# 5xx is old enough for a look at Stripe to decide.
SOON = "next_attempt_at = now()"
OLDER = "first_sent_at = first_sent_at - interval '3 minutes'"
FREE = "lease_until = null"
UNFINISHED = "state in ('wanted', 'sent', 'unknown')"


@pytest.fixture
def refunds(kills):
    return int(os.environ.get("REFUNDS", "300" if kills > 1 else "8"))


class Chaos:
    """Many refunds, asked for once each, on a stack that is struck again and again."""

    def __init__(self, stack, chance, *, defect=""):
        self.stack, self.chance, self.defect = stack, chance, defect
        self.wanted = {}  # charge -> amount
        self.hits = 0

    def collect(self, number, name):
        """`number` charges of a few buyers, known here."""
        for first in range(0, number, PER_BUYER):
            amounts = [CAPTURED_MINOR] * min(PER_BUYER, number - first)
            asked = {"do": "collect", "consumer": f"{name}-{first}", "amounts": amounts}
            for charge in self.stack.ask_shopkeeper(**asked)["charges"]:
                self.wanted[charge] = self.chance.randrange(1, LARGEST_MINOR)
        self.executed_before = self.executions()

    def executions(self):
        routes = self.stack.control("counters")["routes"]
        return routes.get("POST /v1/refunds", 0)

    def break_stripe(self):
        for kind in KINDS:
            self.stack.fault("* /v1/refunds", kind, probability=EACH)

    def ask_for_all(self):
        for charge, amount_minor in self.wanted.items():
            self.click(charge, amount_minor)

    def click(self, charge, amount_minor):
        """Staff click again when the page broke under them."""
        for _ in range(200):
            try:
                self.stack.ask_shopkeeper(do="ask_refund", charge=charge, amount_minor=amount_minor)
            except AssertionError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"{charge}: the click never went through")

    def strike(self, victim):
        """In the middle of a call, if one begins soon."""
        self.stack.fault("POST /v1/refunds", "latency", seconds=1.0, times=1)
        end = time.monotonic() + AIM_SECONDS
        while not self.is_sending() and time.monotonic() < end:
            time.sleep(0.02)
        self.hits += self.is_sending()
        if victim == "pool":
            self.stack.kill_pool()
        elif victim == "worker":
            self.stack.kill("worker")
            self.stack.start_worker(self.defect)
        else:
            self.stack.kill("postgres")
            self.stack.start_postgres()

    def is_sending(self):
        query = "select count(*) > 0 from billing_operation where kind = 'refund' and state='sent'"
        return self.ask(query) is True

    def let_time_pass(self, *, leases):
        """`leases`: whoever held one is dead."""
        more = f", {FREE}" if leases else ""
        for statement in (
            f"update billing_operation set {SOON}, {OLDER}{more} where {UNFINISHED}",
            f"update billing_refundrequest set {SOON}{more} where state = 'running'",
        ):
            with suppress(psycopg.OperationalError):
                self.stack.execute(statement)
        for task in ("work_requests", "settle_operations"):
            with suppress(AssertionError):
                self.stack.ask_shopkeeper(do="ring", task=f"billing.tasks.{task}")

    def ask(self, query):
        try:
            return self.stack.one(query)
        except psycopg.OperationalError:
            return None

    def left(self):
        return self.ask(
            "select (select count(*) from billing_refundrequest where state = 'running')"
            f" + (select count(*) from billing_operation where {UNFINISHED})"
        )

    def end(self):
        """Time passes until nothing is open."""
        end = time.monotonic() + END_SECONDS
        while self.left() != 0:
            assert time.monotonic() < end, f"{self.left()} refunds have no end"
            self.let_time_pass(leases=False)
            time.sleep(1.0)

    # --- The proof ---

    def prove(self):
        stack = self.stack
        at_stripe = {}
        for charge in self.wanted:
            found = call(
                "GET", f"{stack.stripe}/v1/refunds?charge={charge}", Authorization=SANDBOX_KEY
            )
            at_stripe[charge] = [each["amount"] for each in found.json["data"]]
        assert at_stripe == {charge: [minor] for charge, minor in self.wanted.items()}
        assert self.executions() - self.executed_before == len(self.wanted)
        charges = list(self.wanted)
        total = sum(self.wanted.values())
        ours = "join billing_payment p on p.id = payment_id where p.stripe_charge_id = any(%s)"
        ledger = f"select count(*), sum(r.amount_minor) from billing_refund r {ours}"
        assert stack.rows(f"{ledger} and r.status = 'succeeded'", charges) == [
            (len(charges), total)
        ]
        held = "select sum(refunded_minor) from billing_payment where stripe_charge_id = any(%s)"
        assert stack.one(held, charges) == total
        asked = f"select count(*), sum(r.amount_minor) from billing_refundrequest r {ours}"
        assert stack.rows(f"{asked} and r.state = 'done'", charges) == [(len(charges), total)]


def test_each_refund_happens_once_whatever_breaks(stack, refunds, kills, chance, show):
    chaos = Chaos(stack, chance)
    chaos.collect(refunds, "chaos")
    chaos.break_stripe()
    clicks = threading.Thread(target=chaos.ask_for_all, daemon=True)
    clicks.start()
    victims = [chance.choice(["worker", "postgres", "pool"]) for _ in range(max(kills, 1))]
    for victim in victims:
        time.sleep(chance.uniform(0.2, 1.5))
        chaos.strike(victim)
        if victim == "worker":
            chaos.let_time_pass(leases=False)
    clicks.join(END_SECONDS)
    stack.kill("worker")  # nobody holds a lease any more
    stack.start_worker()
    chaos.let_time_pass(leases=True)
    chaos.end()
    stack.control("faults/clear")

    chaos.prove()
    kept = f"{refunds} executions of {refunds} refunds, {sum(chaos.wanted.values())} cents"
    show("each refund once, half of Stripe bad", tried=len(victims), hit=chaos.hits, kept=kept)


def refund_across_a_death(stack, chance, *, defect):
    """The worker dies while Stripe is slow; who comes next sends again before Stripe is done."""
    chaos = Chaos(stack, chance, defect=defect)
    chaos.collect(1, f"death-{defect}")
    stack.kill("worker")
    stack.start_worker(defect)
    stack.fault("POST /v1/refunds", "latency", seconds=SLOW_SECONDS, times=1)
    chaos.ask_for_all()
    chaos.let_time_pass(leases=False)
    stack.wait_for("the call begins", chaos.is_sending)
    stack.kill_pool()
    end = time.monotonic() + SLOW_SECONDS - 1
    while time.monotonic() < end and chaos.left():
        chaos.let_time_pass(leases=True)
        time.sleep(0.5)
    time.sleep(max(end + 2 - time.monotonic(), 0))
    chaos.end()
    return chaos


def test_the_proof_sees_a_new_key_per_try(stack, chance, kills):
    if kills == 1:
        pytest.skip("in `make prove` only")
    with pytest.raises(AssertionError):
        refund_across_a_death(stack, chance, defect="new_key_per_try").prove()

    stack.kill("worker")
    stack.start_worker()
    refund_across_a_death(stack, chance, defect="").prove()
