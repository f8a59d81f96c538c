"""Payments of a creator's API, written as a sync has recorded them."""

from billing.market.ledger import follow_money
from billing.models import Payment, Refund, StripeCustomer
from billing.snapshot import Snapshot
from tests.conftest import NOON


def price_of(plan, stripe_price_id="price_weather", amount_minor=1000, currency="usd", **more):
    return plan.prices.create(
        project=plan.project,
        stripe_price_id=stripe_price_id,
        amount_minor=amount_minor,
        currency=currency,
        interval="month",
        **more,
    )


def line(price, amount, tax=0):
    """A line of an invoice as Stripe tells it, its tax on top."""
    return {
        "amount": amount,
        "pricing": {"price_details": {"price": price}},
        "taxes": [{"amount": tax, "tax_behavior": "exclusive"}] if tax else [],
        "discount_amounts": [],
    }


class Till:
    """One consumer's payments, and the ledger that follows them."""

    def __init__(self, consumer):
        self.consumer = consumer
        self.holder, _ = StripeCustomer.objects.get_or_create(
            consumer=consumer,
            defaults={"project": consumer.project, "stripe_customer_id": f"cus_{consumer.pk}"},
        )

    def pay(self, *lines, captured=None, currency="usd", at=NOON, **more):
        """A paid invoice with these lines; returns its payment."""
        number = Payment.objects.count() + 1
        total = sum(one["amount"] + sum(t["amount"] for t in one["taxes"]) for one in lines)
        payment = Payment.objects.create(
            project=self.consumer.project,
            consumer=self.consumer,
            stripe_charge_id=f"ch_{number}",
            stripe_payment_intent_id=f"pi_{number}",
            stripe_invoice_id=f"in_{number}",
            status="succeeded",
            currency=currency,
            captured_minor=total if captured is None else captured,
            created_at=at,
            synced_at=at,
            **more,
        )
        invoice = {"object": "invoice", "id": f"in_{number}", "lines": {"data": list(lines)}}
        self.follow(payment, invoice, at=at)
        return payment

    def follow(self, payment, *objects, at=NOON):
        taken = Snapshot(customer={"id": self.holder.stripe_customer_id})
        taken.add({"object": "charge", "id": payment.stripe_charge_id})
        for found in objects:
            taken.add(found)
        follow_money(taken=taken, holder=self.holder, at=at)

    def give_back(self, payment, amount, status="succeeded", at=NOON):
        number = Refund.objects.count() + 1
        refund = Refund.objects.create(
            project=payment.project,
            payment=payment,
            stripe_refund_id=f"re_{number}",
            status=status,
            amount_minor=amount,
            currency=payment.currency,
            created_at=at,
        )
        self.follow(payment, at=at)
        return refund
