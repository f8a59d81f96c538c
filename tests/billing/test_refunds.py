"""Money goes back once per wish, never more than was taken."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from billing import gateway
from billing.customers import ensure_customer
from billing.models import Payment, Refund, RefundStatus
from billing.operations import OperationPending, settle_due
from billing.refunds import NotRefundable, RefundTooLarge, refund_payment
from billing.sync import sync_customer
from config.errors import InvalidInput
from keystore.models import AuditEntry
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def payment(alice, stripe_world, clock):
    """100.00 USD paid by alice."""
    return pay(alice, clock, amount=10_000)


def pay(consumer, clock, *, amount, currency="usd"):
    holder = ensure_customer(consumer=consumer, actor="system", at=NOON)
    gateway.write(
        "/v1/payment_intents",
        {
            "amount": amount,
            "currency": currency,
            "customer": holder.stripe_customer_id,
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "automatic_payment_methods": {"enabled": "true", "allow_redirects": "never"},
        },
        idempotency_key=f"test:pay:{consumer.pk}:{amount}",
    )
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock, full=True)
    return Payment.objects.get(consumer=consumer)


def refund(payment, amount=6_000, **more):
    return refund_payment(
        payment=payment, amount_minor=amount, reason="asked", actor="staff:sam", at=NOON, **more
    )


def at_stripe(payment):
    found = gateway.read_all("/v1/refunds", charge=payment.stripe_charge_id)
    return [(each["amount"], each["status"]) for each in found]


def test_a_refund_is_made_once_and_audited(payment):
    made = refund(payment)

    assert (made.status, made.amount_minor) == (RefundStatus.SUCCEEDED, 6_000)
    payment.refresh_from_db()
    assert payment.refunded_minor == 6_000
    assert at_stripe(payment) == [(6_000, "succeeded")]
    assert AuditEntry.objects.get(act="refund.want").actor == "staff:sam"


def test_more_than_is_left_is_refused_and_changes_nothing(payment):
    refund(payment)

    with pytest.raises(RefundTooLarge, match="Only 4000 usd"):
        refund(payment)
    assert Refund.objects.count() == 1
    assert at_stripe(payment) == [(6_000, "succeeded")]


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_are_refused(payment, amount):
    with pytest.raises(InvalidInput):
        refund(payment, amount)
    assert Refund.objects.count() == 0


def test_two_equal_partial_refunds_both_happen(payment):
    refund(payment, 3_000)
    refund(payment, 3_000)

    assert at_stripe(payment) == [(3_000, "succeeded"), (3_000, "succeeded")]


def test_while_one_is_unknown_a_second_one_waits(payment, stripe_world):
    stripe_world.faults.add("POST /v1/refunds", "reset_after", times=1)
    first = refund(payment, 3_000)
    assert first.status == RefundStatus.WANTED

    with pytest.raises(OperationPending):
        refund(payment, 3_000)
    payment.refresh_from_db()
    assert payment.refunded_minor == 3_000

    settle_due(at=NOON + timedelta(minutes=5))
    first.refresh_from_db()
    assert first.status == RefundStatus.SUCCEEDED
    assert at_stripe(payment) == [(3_000, "succeeded")]


def test_a_sync_that_sees_it_first_does_not_count_it_twice(payment, stripe_world, clock):
    stripe_world.faults.add("POST /v1/refunds", "reset_after", times=1)
    made = refund(payment)
    customer_id = payment.consumer.stripe_customer.stripe_customer_id
    sync_customer(stripe_customer_id=customer_id, clock=clock, full=True)
    settle_due(at=NOON + timedelta(minutes=5))

    made.refresh_from_db()
    payment.refresh_from_db()
    assert Refund.objects.count() == 1
    assert (made.status, payment.refunded_minor) == (RefundStatus.SUCCEEDED, 6_000)


def test_two_refunds_made_in_stripe_s_dashboard_are_both_counted(payment, clock):
    for amount in (1_000, 2_500):
        params = {"charge": payment.stripe_charge_id, "amount": amount}
        gateway.write("/v1/refunds", params, idempotency_key=f"test:dashboard:{amount}")

    customer_id = payment.consumer.stripe_customer.stripe_customer_id
    sync_customer(stripe_customer_id=customer_id, clock=clock, full=True)

    payment.refresh_from_db()
    assert payment.refunded_minor == 3_500
    assert sorted(Refund.objects.values_list("amount_minor", flat=True)) == [1_000, 2_500]


def test_what_stripe_refuses_frees_the_amount(payment, clock):
    gateway.write(  # somebody gives it all back in Stripe's dashboard
        "/v1/refunds", {"charge": payment.stripe_charge_id}, idempotency_key="test:dashboard"
    )

    made = refund(payment)

    assert made.status == RefundStatus.FAILED
    payment.refresh_from_db()
    assert payment.refunded_minor == 0
    sync_customer(
        stripe_customer_id=payment.consumer.stripe_customer.stripe_customer_id,
        clock=clock,
        full=True,
    )
    payment.refresh_from_db()
    assert payment.refunded_minor == 10_000


def test_a_payment_that_failed_has_nothing_to_give_back(payment):
    Payment.objects.update(status="failed")
    payment.refresh_from_db()

    with pytest.raises(NotRefundable):
        refund(payment)


def test_the_database_refuses_what_code_might_forget(payment):
    with pytest.raises(IntegrityError, match="payment_refunds_within_captured"):
        Payment.objects.update(refunded_minor=10_001)


def test_eight_at_once_never_give_back_more_than_was_taken(payment):
    def try_once(_):
        try:
            refund(payment, 6_000)
        except (RefundTooLarge, OperationPending) as refusal:
            return type(refusal).__name__
        finally:
            connection.close()
        return "refunded"

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(try_once, range(8)))

    assert outcomes.count("refunded") == 1
    assert at_stripe(payment) == [(6_000, "succeeded")]
