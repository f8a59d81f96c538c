"""An old answer of Stripe's that arrives late never wins over a newer one."""

from threading import Thread
from time import monotonic, sleep

import pytest
from django.db import connection

from billing import gateway
from billing.models import Subscription
from billing.sync import sync_customer
from entitlements.models import Grant
from keystore.models import ApiKey
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 20


def swap(subscription, number, *, ends):
    params = {"cancel_at_period_end": "true" if ends else "false"}
    path = f"/v1/subscriptions/{subscription['id']}"
    gateway.write(path, params, idempotency_key=f"race:swap:{number}")


def time_to_be_overtaken(of, clock):
    """Twice what a sync takes: without the lock, the slow one would write last."""
    started = monotonic()
    sync_customer(stripe_customer_id=of, clock=clock)
    return 2 * (monotonic() - started)


def overtake(sandbox, of, clock, change, *, seconds):
    """Sync with a slow answer; while it is under way, change Stripe and sync again."""
    fault = sandbox.faults.add("GET /v1/subscriptions", "slow_snapshot", seconds=seconds, times=1)

    def slow():
        try:
            sync_customer(stripe_customer_id=of, clock=clock)
        finally:
            connection.close()

    thread = Thread(target=slow)
    thread.start()
    while not fault.drawn:
        sleep(0.002)
    change()
    sync_customer(stripe_customer_id=of, clock=clock)
    thread.join()


def test_an_overtaken_answer_changes_nothing_twenty_times(
    customer, subscription, stripe_world, clock
):
    of = customer.stripe_customer_id
    sync_customer(stripe_customer_id=of, clock=clock)
    seconds = time_to_be_overtaken(of, clock)
    right = 0
    for number in range(TIMES):
        ends = number % 2 == 0
        overtake(
            stripe_world,
            of,
            clock,
            lambda number=number, ends=ends: swap(subscription, number, ends=ends),
            seconds=seconds,
        )
        right += (Subscription.objects.get().cancel_at is not None) is ends

    assert right == TIMES


def test_a_cancellation_during_a_slow_answer_ends_access(
    customer, subscription, stripe_world, clock
):
    path = f"/v1/subscriptions/{subscription['id']}"

    def cancel():
        gateway.write(path, {}, idempotency_key="race:cancel", method="delete")

    of = customer.stripe_customer_id
    sync_customer(stripe_customer_id=of, clock=clock)
    seconds = time_to_be_overtaken(of, clock)
    overtake(stripe_world, of, clock, cancel, seconds=seconds)

    assert Subscription.objects.get().status == "canceled"
    assert not Grant.objects.live(NOON).filter(revoked_at=None).exists()
    assert ApiKey.objects.get().revoked_at is not None
