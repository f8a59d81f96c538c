"""Eight at once on real connections: Stripe is told once, and never to give back too much."""

from datetime import timedelta
from queue import SimpleQueue

import pytest
from django.db.models import Sum

from billing import gateway
from billing.checkout import Wish, start_checkout
from billing.models import (
    Checkout,
    CheckoutMode,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    Refund,
    RefundStatus,
    StripeCustomer,
)
from billing.operations import run_operation, settle_due, want
from billing.refunds import refund_payment
from billing.sync import sync_customer
from config.errors import DomainError
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)
AMOUNTS = (900, 1_700, 2_500, 3_300, 4_100, 4_900, 5_700, 6_500)  # of 10,000


def give_back_all_at_once(payment):
    """Eight refunds of different amounts; what each of them was told."""
    amounts = SimpleQueue()
    for amount in AMOUNTS:
        amounts.put(amount)

    def give_back():
        own = Payment.objects.get(pk=payment.pk)
        try:
            return refund_payment(
                payment=own, amount_minor=amounts.get(), reason="asked", actor="system", at=NOON
            )
        except DomainError as refusal:
            return refusal.code

    return at_once(give_back)


def back_at_stripe(payment):
    found = gateway.read_all("/v1/refunds", charge=payment.stripe_charge_id)
    return sum(refund["amount"] for refund in found if refund["status"] == "succeeded")


def back_here(payment):
    done = Refund.objects.filter(payment=payment, status=RefundStatus.SUCCEEDED)
    return done.aggregate(sum=Sum("amount_minor"))["sum"] or 0


def test_eight_runs_of_one_operation_are_one_execution(alice, stripe_world):
    operation = want(
        project=alice.project,
        kind=OperationKind.CREATE_CUSTOMER,
        path="/v1/customers",
        params={"email": alice.email},
        subject=alice.public_id,
        actor="system",
        at=NOON,
    )

    at_once(lambda: run_operation(operation=Operation.objects.get(pk=operation.pk), at=NOON))

    operation.refresh_from_db()
    assert (operation.state, operation.attempts) == (OperationState.DONE, 1)
    assert stripe_world.executions(operation_id=operation.public_id) == 1


def test_eight_janitors_are_one_execution(alice, stripe_world):
    want(
        project=alice.project,
        kind=OperationKind.CREATE_CUSTOMER,
        path="/v1/customers",
        params={},
        subject=alice.public_id,
        actor="system",
        at=NOON,
    )

    at_once(lambda: settle_due(at=NOON))

    assert stripe_world.executions(route="POST /v1/customers") == 1
    assert StripeCustomer.objects.count() == 1


def test_refunds_at_once_stay_within_what_was_taken(payment, stripe_world):
    told = give_back_all_at_once(payment)

    payment.refresh_from_db()
    refunds = [one for one in told if isinstance(one, Refund)]
    assert refunds
    assert set(told) - set(refunds) <= {"refund_exceeds_payment", "operation_pending"}
    assert back_at_stripe(payment) == back_here(payment) == payment.refunded_minor
    assert payment.refunded_minor == sum(refund.amount_minor for refund in refunds) <= 10_000


@pytest.mark.parametrize("seed", range(4))
def test_refunds_at_once_while_half_of_the_calls_fail(payment, stripe_world, clock, seed):
    stripe_world.faults.seed(seed)
    for fault in ("reset_before", "reset_after", "server_error", "server_error_after"):
        stripe_world.faults.add("POST /v1/refunds", fault, probability=0.16)  # one of four: 1/2

    for _ in range(4):
        give_back_all_at_once(payment)
    stripe_world.faults.clear()
    for hours in range(1, 6):
        settle_due(at=NOON + timedelta(hours=hours))

    payment.refresh_from_db()
    assert not Operation.objects.exclude(state__in=["done", "failed"]).exists()
    assert 0 < back_at_stripe(payment) == back_here(payment) == payment.refunded_minor <= 10_000
    wanted = Operation.objects.filter(kind=OperationKind.REFUND)
    assert {stripe_world.executions(operation_id=one.public_id) for one in wanted} <= {0, 1}
    of = payment.consumer.stripe_customer.stripe_customer_id
    sync_customer(stripe_customer_id=of, clock=clock, full=True)
    payment.refresh_from_db()
    assert back_at_stripe(payment) == payment.refunded_minor


def test_eight_first_checkouts_make_one_customer_and_one_page(alice, pro_monthly, stripe_world):
    wish = Wish(consumer=alice, price=pro_monthly, mode=CheckoutMode.SUBSCRIPTION)

    def begin():
        try:
            return start_checkout(wish=wish, actor="system", at=NOON).state
        except DomainError as refusal:
            return refusal.code

    told = at_once(begin)

    assert set(told) <= {"open", "pending", "checkout_pending"}
    assert stripe_world.executions(route="POST /v1/customers") == 1
    assert stripe_world.executions(route="POST /v1/checkout/sessions") <= 1
    settle_due(at=NOON + timedelta(minutes=1))
    start_checkout(wish=wish, actor="system", at=NOON)
    assert stripe_world.executions(route="POST /v1/checkout/sessions") == 1
    assert (StripeCustomer.objects.count(), Checkout.objects.get().state) == (1, "open")
