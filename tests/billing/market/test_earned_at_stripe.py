"""From the buyer's payment at Stripe to the line of the ledger, by the sync."""

import pytest
from django.db.models import Sum

from billing.models import Earning
from billing.refunds import refund_payment
from billing.sync import sync_customer
from tests.billing.subscribers import subscribe

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sale_and_its_refund(bought_once, alice, weather_once, fifth, clock):
    payment = bought_once(alice, weather_once)
    assert Earning.objects.get().amount_minor == 800

    refund_payment(payment=payment, amount_minor=1000, reason="test", actor="system", at=clock())
    sync_customer(
        stripe_customer_id=alice.stripe_customer.stripe_customer_id,
        clock=clock,
        touched=[("charge", payment.stripe_charge_id)],
    )

    assert Earning.objects.aggregate(sum=Sum("amount_minor"))["sum"] == 0


def test_a_subscription_earns_by_its_invoice(alice, weather_monthly, fifth, clock):
    subscribe(alice, weather_monthly, clock)

    [sale] = Earning.objects.all()
    assert (sale.kind, sale.gross_minor, sale.amount_minor) == ("sale", 1000, 800)
