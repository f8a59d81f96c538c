"""kill -9 of worker and PostgreSQL at the worst moments: nothing lost, nothing doubled."""

import time

import psycopg
import pytest

from tests.faults.http import call

WORST = ["worker", "postgres"]
ALL = [*WORST, "pool"]
PRO = {"basic", "pro", "tokens", "api_calls", "scraping_tasks"}
RECOVERY_SECONDS = 150
SANDBOX_KEY = "Bearer sk_test_sandboxsandboxsandboxsandbox"


@pytest.fixture(params=ALL)
def victim(request, kills):
    if kills == 1 and request.param not in WORST:
        pytest.skip("in `make prove` only")
    return request.param


def most(kills):
    """How often it is tried: chance misses the moment now and then, on a busy machine often."""
    return 2 * kills + 8


def strike(stack, victim):
    """Kill it, and start again what does not start by itself."""
    if victim == "pool":
        stack.kill_pool()
        return
    stack.kill(victim)
    stack.start_worker() if victim == "worker" else stack.start_postgres()


def let_time_pass(stack, kills):
    """With one kill there is no time to wait for leases: move the hands of the clock instead."""
    if kills > 1:
        return
    soon = "lease_until = null, next_attempt_at = now()"
    stack.execute(f"update billing_inboxevent set {soon} where state = 'pending'")
    stack.execute(
        f"update billing_operation set {soon} where state in ('wanted', 'sent', 'unknown')"
    )
    for task in ("work_inbox", "settle_operations"):
        stack.ask_shopkeeper(do="ring", task=f"billing.tasks.{task}")


def all_ended(stack):
    """No event and no operation is left without an end: asked in the order in which one leads
    to the next, or an event that arrives between two of the questions is overlooked.
    """
    operations = (
        "select count(*) from billing_operation where state in ('wanted', 'sent', 'unknown')"
    )
    events = "select count(*) from billing_inboxevent where state = 'pending'"
    try:
        return (
            stack.one(operations) == 0
            and not stack.control("webhooks/pending")["data"]
            and stack.one(events) == 0
        )
    except psycopg.OperationalError:
        return False


def recover(stack, kills):
    let_time_pass(stack, kills)
    stack.wait_for("every event and operation ended", lambda: all_ended(stack), RECOVERY_SECONDS)


def all_delivered(stack):
    """Each event of Stripe's was acknowledged."""
    listed = call("GET", f"{stack.stripe}/v1/events?limit=5", Authorization=SANDBOX_KEY).json[
        "data"
    ]
    return {each["id"] for each in listed} <= acknowledged(stack)


def acknowledged(stack):
    """The ids of events for which Stripe got a 2xx."""
    sent = stack.control("webhooks/deliveries")["data"]
    return {each["event"] for each in sent if each["status"] == 200}


def assert_events_are_worked_off(stack):
    kept = {row[0] for row in stack.rows("select event_id from billing_inboxevent")}
    assert acknowledged(stack) - kept == set()
    odd = "select type, state, note from billing_inboxevent where state <> 'done'"
    assert stack.rows(f"{odd} and (state <> 'ignored' or stripe_customer_id <> '')") == []


def assert_has_pro_once(stack, user, checkout):
    """Entitled, with one grant and one key that opens the gateway."""
    assert stack.features(user) == PRO
    of_user = "join keystore_consumer c on c.id = consumer_id where c.external_id = %s"
    assert stack.one(f"select count(*) from entitlements_grant {of_user}", user) == 1
    assert stack.one(f"select count(*) from keystore_apikey {of_user}", user) == 1
    assert stack.one(f"select count(*) from billing_payment {of_user}", user) == 1
    assert call("GET", f"{stack.web}/whoami", X_API_Key=stack.claim(checkout)).status == 200


def assert_each_operation_was_executed_once(stack):
    executed = stack.control("counters")["operations"]
    wanted = stack.rows(
        "select public_id, kind from billing_operation where state = 'done'"
        " and kind in ('create_customer', 'create_checkout', 'refund')"
    )
    times = {(one, kind): sum(executed.get(one, {}).values()) for one, kind in wanted}
    assert {which: count for which, count in times.items() if count != 1} == {}


def test_killed_in_the_middle_of_sync(stack, victim, kills, chance, show):
    bought, hits = {}, 0
    stack.fault("GET /v1/*", "latency", seconds=0.12)
    while hits < kills and len(bought) < most(kills):
        user = f"sync-{victim}-{len(bought)}"
        stack.halt("worker")
        bought[user] = stack.buy(user)
        stack.wait_for("all events are here", lambda: all_delivered(stack))
        stack.resume("worker")
        # One sync for all of them: nothing that comes later would repair what this one lost.
        stack.wait_for("a sync begins", stack.is_syncing)
        time.sleep(chance.uniform(0, 0.8))
        hits += stack.is_syncing()
        strike(stack, victim)
    stack.control("faults/clear")
    recover(stack, kills)

    assert hits == kills
    assert_events_are_worked_off(stack)
    for user, checkout in bought.items():
        assert_has_pro_once(stack, user, checkout)
    assert_each_operation_was_executed_once(stack)
    kept = f"{len(bought)} of {len(bought)} buyers right"
    show(f"{victim} killed in sync", tried=len(bought), hit=hits, kept=kept)


def refund_state(stack, operation):
    return stack.one("select state from billing_operation where public_id = %s", operation)


def buy_and_settle(stack, user):
    """A buyer whose payment is known here; the id of the charge."""
    stack.buy(user)
    query = """select stripe_charge_id from billing_payment
        join keystore_consumer c on c.id = consumer_id where c.external_id = %s"""
    stack.wait_for("the payment", lambda: bool(stack.rows(query, user)), RECOVERY_SECONDS)
    return stack.one(query, user)


def refunds_at_stripe(stack, charge):
    answer = call("GET", f"{stack.stripe}/v1/refunds?charge={charge}", Authorization=SANDBOX_KEY)
    return [each["amount"] for each in answer.json["data"]]


def assert_paid_back_once(stack, charge, amount_minor):
    assert refunds_at_stripe(stack, charge) == [amount_minor]
    held = "select refunded_minor from billing_payment where stripe_charge_id = %s"
    assert stack.rows(held, charge) == [(amount_minor,)]
    ledger = """select r.amount_minor, r.status from billing_refund r
        join billing_payment p on p.id = r.payment_id where p.stripe_charge_id = %s"""
    assert stack.rows(ledger, charge) == [(amount_minor, "succeeded")]


def test_killed_between_stripe_s_call_and_settlement(stack, victim, kills, chance, show):
    wanted, hits = {}, 0
    while hits < kills and len(wanted) < most(kills):
        charge = buy_and_settle(stack, f"refund-{victim}-{len(wanted)}")
        amount_minor = wanted[charge] = chance.randrange(1, 1499)
        # Before Stripe executes it, or after that and before we hear of it.
        kind = chance.choice(["latency", "slow_snapshot"])
        stack.fault("POST /v1/refunds", kind, seconds=0.8, times=1)
        asked = stack.ask_shopkeeper(do="refund", charge=charge, amount_minor=amount_minor)
        stack.ask_shopkeeper(do="ring", task="billing.tasks.settle_operations")
        stack.wait_for(
            "the call begins",
            lambda asked=asked: refund_state(stack, asked["operation"]) != "wanted",
        )
        time.sleep(chance.uniform(0, 0.82))
        hits += refund_state(stack, asked["operation"]) == "sent"
        strike(stack, victim)
        stack.control("faults/clear")
    recover(stack, kills)

    assert hits == kills
    assert_events_are_worked_off(stack)
    for charge, amount_minor in wanted.items():
        assert_paid_back_once(stack, charge, amount_minor)
    assert_each_operation_was_executed_once(stack)
    kept = f"{len(wanted)} of {len(wanted)} refunds once"
    show(f"{victim} killed before settlement", tried=len(wanted), hit=hits, kept=kept)
