"""An old answer of Stripe's that arrives late never wins over a newer one."""

from threading import Thread
from time import sleep

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
SLOW = 0.1


def swap(subscription, number, *, ends):
    params = {"cancel_at_period_end": "true" if ends else "false"}
    path = f"/v1/subscriptions/{subscription['id']}"
    gateway.write(path, params, idempotency_key=f"race:swap:{number}")


def overtake(sandbox, of, clock, change):
    """Sync with a slow answer; while it is under way, change Stripe and sync again."""
    fault = sandbox.faults.add("GET /v1/subscriptions", "slow_snapshot", seconds=SLOW, times=1)

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
    right = 0
    for number in range(TIMES):
        ends = number % 2 == 0
        overtake(
            stripe_world,
            of,
            clock,
            lambda number=number, ends=ends: swap(subscription, number, ends=ends),
        )
        right += (Subscription.objects.get().cancel_at is not None) is ends

    assert right == TIMES


def test_a_cancellation_during_a_slow_answer_ends_access(
    customer, subscription, stripe_world, clock
):
    path = f"/v1/subscriptions/{subscription['id']}"

    def cancel():
        gateway.write(path, {}, idempotency_key="race:cancel", method="delete")

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)
    overtake(stripe_world, customer.stripe_customer_id, clock, cancel)

    assert Subscription.objects.get().status == "canceled"
    assert not Grant.objects.live(NOON).filter(revoked_at=None).exists()
    assert ApiKey.objects.get().revoked_at is not None
