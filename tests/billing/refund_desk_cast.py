"""Who pays back, who agrees, and what was paid."""

from datetime import timedelta

import pytest

from billing.customers import ensure_customer
from billing.models import (
    Payment,
)
from billing.sync import sync_customer
from entitlements.models import Grant
from tests.billing.refund_cast import (
    a_limit,
    a_person,
    stripe,
)
from tests.billing.test_refunds import pay
from tests.conftest import NOON


@pytest.fixture
def payment(alice, stripe_world, clock):
    """100.00 USD paid by alice, for nothing that we sell."""
    return pay(alice, clock, amount=10_000)


@pytest.fixture
def sam(journal):
    """May give back 50.00 USD of a payment without asking."""
    a_limit(journal, 5_000)
    return a_person("sam", "Support")


@pytest.fixture
def fay(db):
    return a_person("fay", "Finance")


@pytest.fixture
def bought(alice, lifetime, clock, bought_once):
    """The lifetime plan, 99.00 USD, paid by alice."""
    return bought_once(alice, lifetime)


@pytest.fixture
def subscribed(alice, pro_monthly, clock):
    """Pro, 14.99 USD a month, paid by alice at noon."""
    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    customer = holder.stripe_customer_id
    card = stripe("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    stripe(
        "/v1/subscriptions",
        customer=customer,
        items=[{"price": pro_monthly.stripe_price_id}],
        default_payment_method=card["id"],
    )
    sync_customer(stripe_customer_id=customer, clock=clock, full=True)
    return Payment.objects.get()


def resync(payment, clock):
    customer = payment.consumer.stripe_customer.stripe_customer_id
    return sync_customer(stripe_customer_id=customer, clock=clock, full=True)


def open_features(consumer, clock):
    live = Grant.objects.live(clock() + timedelta(seconds=1)).filter(consumer=consumer)
    return [grant.plan.code for grant in live]


def dispute(payment, stripe_world, clock, won=None):
    """The buyer's bank takes the money back; `won`: and has decided."""
    from sandbox.engine.disputes import close_dispute, open_dispute

    charge = stripe_world.store.get("charge", payment.stripe_charge_id)
    found = open_dispute(stripe_world, charge)
    if won is not None:
        close_dispute(stripe_world, found, won=won)
    resync(payment, clock)
    payment.refresh_from_db()
    return found


def settle_at_bank(request, stripe_world):
    from sandbox.engine.refunds import settle_refund

    refund = stripe_world.store.get("refund", request.refund.stripe_refund_id)
    settle_refund(stripe_world, refund, succeed=False)
