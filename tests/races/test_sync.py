"""An old answer of Stripe's that arrives late never wins over a newer one."""

from functools import partial

import pytest

from billing import gateway
from billing.models import Subscription
from billing.sync import sync_customer
from entitlements.models import Grant
from keystore.models import ApiKey
from tests.conftest import NOON
from tests.together import overtake

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 20


def swap(subscription, number, *, ends):
    params = {"cancel_at_period_end": "true" if ends else "false"}
    path = f"/v1/subscriptions/{subscription['id']}"
    gateway.write(path, params, idempotency_key=f"race:swap:{number}")


def sync_twice(sandbox, of, clock, change):
    """Sync with a slow answer; while it is under way, change Stripe and sync again."""
    fault = sandbox.faults.add("GET /v1/subscriptions", "slow_snapshot", seconds=60, times=1)

    def sync():
        sync_customer(stripe_customer_id=of, clock=clock)

    def change_and_sync():
        change()
        sync()

    overtake(fault, sync, change_and_sync)


def test_an_overtaken_answer_changes_nothing_twenty_times(
    customer, subscription, stripe_world, clock
):
    of = customer.stripe_customer_id
    sync_customer(stripe_customer_id=of, clock=clock)
    right = 0
    for number in range(TIMES):
        ends = number % 2 == 0
        change = partial(swap, subscription, number, ends=ends)
        sync_twice(stripe_world, of, clock, change)
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
    sync_twice(stripe_world, of, clock, cancel)

    assert Subscription.objects.get().status == "canceled"
    assert not Grant.objects.live(NOON).filter(revoked_at=None).exists()
    assert ApiKey.objects.get().revoked_at is not None
