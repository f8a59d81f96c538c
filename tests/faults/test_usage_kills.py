"""kill -9 while usage is counted: acknowledged is counted once, and no limit is passed."""

import subprocess
import sys
import threading
import time

import psycopg
import pytest

from config import paths
from tests.faults.http import post_json
from tests.faults.stack import APP_KEY, kill

LIMIT = 100  # scraping tasks in a month of the basic plan
EVENTS = 130
SENDERS = 4
FINAL = {"accepted", "duplicate", "rejected"}

OF_USER = "join keystore_consumer c on c.id = consumer_id where c.external_id = %s"
COUNTED = f"select coalesce(sum(quantity), 0) from metering_usageevent {OF_USER}"
USED = f"select used from metering_quotabalance {OF_USER}"
TOTALS = f"select coalesce(sum(quantity), 0) from metering_usagetotal {OF_USER} and grain = 'day'"


def send_until_answered(stack, user, numbers, fates):
    """Each event again and again until its fate is known, in small overlapping batches."""
    waiting = list(numbers)
    while waiting:
        batch = [
            {"id": f"{user}-{number}", "meter": "scraping_tasks", "user_id": user}
            for number in waiting[:7]
        ]
        answer = post_json(f"{stack.web}/api/v1/usage/events", {"events": batch}, X_API_Key=APP_KEY)
        if answer.status != 200:
            assert answer.status in (0, 503), answer
            time.sleep(0.05)
            continue
        for receipt in answer.json["events"]:
            assert receipt["status"] in FINAL, receipt
            assert receipt.get("code") in (None, "", "usage_exceeded"), receipt
            fates.setdefault(receipt["id"], set()).add(receipt["status"])
        waiting = waiting[7:]


def use_up(stack, user, strike):
    """Several senders at once, each event from two of them, while something dies."""
    fates = {}
    senders = [
        threading.Thread(
            target=send_until_answered,
            args=(stack, user, [n for n in range(EVENTS) if n % SENDERS in (one, one - 1)], fates),
        )
        for one in range(1, SENDERS)
    ]
    senders.append(
        threading.Thread(target=send_until_answered, args=(stack, user, range(EVENTS), fates))
    )
    for sender in senders:
        sender.start()
    strike()
    for sender in senders:
        sender.join(120)
        assert not sender.is_alive()
    return fates


def test_usage_survives_postgres_and_a_wiped_redis(stack, kills, chance, show):
    users = [f"usage-kill-{number}" for number in range(kills)]
    for user in users:
        stack.buy(user, price="price_basic")
        stack.wait_for("access", lambda user=user: "basic" in stack.features(user), 120)

        def strike():
            time.sleep(chance.uniform(0.02, 0.4))
            stack.kill("valkey")
            stack.start_valkey()
            stack.kill("postgres")
            stack.start_postgres()

        fates = use_up(stack, user, strike)

        assert len(fates) == EVENTS
        counted = [one for one, told in fates.items() if told & {"accepted", "duplicate"}]
        assert len(counted) == LIMIT
        assert stack.one(COUNTED, user) == LIMIT
        assert stack.one(USED, user) == LIMIT
    assert stack.ask_shopkeeper(do="total_up")["differences"] == 0
    assert [stack.one(TOTALS, user) for user in users] == [LIMIT] * kills
    kept = f"{LIMIT} of {EVENTS} events for each of {kills} limits of {LIMIT}"
    show("usage while PostgreSQL and Redis die", tried=kills, hit=kills, kept=kept)


WRITE = """insert into metering_usageevent (id, project_id, consumer_id, meter_id, source, event_id,
    quantity, unique_value, occurred_at, counts_at, received_at, properties, from_credits)
    select metering_uuid(now()), m.project_id, c.id, m.id, 'rollers', gen_random_uuid()::text, 1,
        '', now(), now(), now(), '{}', 0
    from metering_meter m, keystore_consumer c, generate_series(1, %s)
    where m.code = 'api_calls' and c.external_id = 'rolled'"""


def test_four_roll_ups_that_are_killed_count_each_event_once(stack, kills, chance, show):
    if kills == 1:
        pytest.skip("in `make prove` only")
    stack.buy("rolled", price="price_basic")
    rollers = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.rollers", "4"],
        cwd=paths.ROOT,
        env=stack.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    alive = [int(rollers.stdout.readline()) for _ in range(4)]
    written = 5
    try:
        # One transaction begins before the others and ends after them.
        with psycopg.connect(
            host=str(stack.postgres.sockets), user="postgres", dbname=paths.DATABASE
        ) as slow:
            slow.execute(WRITE.encode(), [5])
            for _ in range(kills):
                for _ in range(20):
                    events = chance.randrange(1, 9)
                    written += events
                    with stack.postgres.connect(paths.DATABASE) as quick:
                        quick.execute(WRITE.encode(), [events])
                victim = alive.pop(chance.randrange(len(alive)))
                kill(victim)
                alive.append(int(rollers.stdout.readline()))
    finally:
        for pid in (rollers.pid, *alive):
            kill(pid)
        rollers.wait()
        rollers.stdout.close()
    assert stack.ask_shopkeeper(do="total_up")["differences"] == 0
    assert stack.one(TOTALS, "rolled") == written
    kept = f"{written} events in the totals, once each"
    show("4 roll-ups at once, killed", tried=kills, hit=kills, kept=kept)
