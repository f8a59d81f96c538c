"""How somebody comes to a subscription in the tests, and what Stripe says of it."""

from billing import gateway
from billing.customers import ensure_customer
from billing.models import Subscription
from billing.sync import sync_customer
from tests.conftest import NOON


def subscribe(consumer, price, clock, *, card="pm_card_visa", **more):
    """Our row of a subscription that Stripe has of the consumer, paid with `card`."""
    holder = ensure_customer(consumer=consumer, actor="system", at=NOON)
    if card:
        give_card(holder, card)
    params = {
        "customer": holder.stripe_customer_id,
        "items": [{"price": price.stripe_price_id}],
        **more,
    }
    made = gateway.write("/v1/subscriptions", params, idempotency_key=f"t:sub:{consumer.pk}")
    follow(holder, clock)
    return Subscription.objects.get(stripe_subscription_id=made["id"])


def give_card(holder, card, *, default=True):
    """A card of the customer's at Stripe; returns its id."""
    path = f"/v1/customers/{holder.stripe_customer_id}"
    made = gateway.write(
        f"/v1/payment_methods/{card}/attach",
        {"customer": holder.stripe_customer_id},
        idempotency_key=f"t:card:{card}:{holder.pk}",
    )
    if default:
        gateway.write(
            path,
            {"invoice_settings": {"default_payment_method": made["id"]}},
            idempotency_key=f"t:default:{made['id']}",
        )
    return made["id"]


def follow(holder, clock):
    """Sync everything of a customer."""
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock, full=True)


def at_stripe(subscription):
    """The subscription as Stripe has it."""
    return gateway.read(f"/v1/subscriptions/{subscription.stripe_subscription_id}")


def invoices_of(subscription):
    """(reason, status, total) of each invoice, newest first."""
    found = gateway.read_all("/v1/invoices", subscription=subscription.stripe_subscription_id)
    return [(each["billing_reason"], each["status"], each["total"]) for each in found]
