"""What the racers race for: journal's shop at a Stripe in this process.

Models are imported inside the fixtures: pytest reads this file before the settings exist.
"""

import pytest

from tests.billing.conftest import clock, pro, pro_monthly, stripe_world  # noqa: F401
from tests.conftest import NOON


@pytest.fixture
def customer(alice, stripe_world):  # noqa: F811
    """Alice's customer at Stripe, with a card that works."""
    from billing import gateway
    from billing.customers import ensure_customer

    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    where = f"/v1/customers/{holder.stripe_customer_id}"
    card = gateway.write(
        "/v1/payment_methods/pm_card_visa/attach",
        {"customer": holder.stripe_customer_id},
        idempotency_key="race:card",
    )
    default = {"invoice_settings": {"default_payment_method": card["id"]}}
    gateway.write(where, default, idempotency_key="race:default")
    return holder


@pytest.fixture
def subscription(customer, pro_monthly):  # noqa: F811
    """Alice's subscription at Stripe; nobody here has heard of it."""
    from billing import gateway

    params = {
        "customer": customer.stripe_customer_id,
        "items": [{"price": pro_monthly.stripe_price_id}],
    }
    return gateway.write("/v1/subscriptions", params, idempotency_key="race:subscribe")


@pytest.fixture
def payment(customer, clock):  # noqa: F811
    """100.00 USD paid by alice."""
    from billing import gateway
    from billing.models import Payment
    from billing.sync import sync_customer

    params = {
        "amount": 10_000,
        "currency": "usd",
        "customer": customer.stripe_customer_id,
        "payment_method": "pm_card_visa",
        "confirm": "true",
        "automatic_payment_methods": {"enabled": "true", "allow_redirects": "never"},
    }
    gateway.write("/v1/payment_intents", params, idempotency_key="race:pay")
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)
    return Payment.objects.get()
