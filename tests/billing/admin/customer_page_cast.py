"""Who is looked at, and what they have."""

from datetime import timedelta

import pytest

from billing.models import InboxEvent, Invoice, Payment, StripeCustomer, Subscription
from config.clock import now
from entitlements.services import WantedGrant, set_source_grants
from keystore.models import ApiKey, AuditEntry
from tests.billing.admin.conftest import page_of

LIST = "/admin/keystore/consumer/"


DAY = timedelta(days=1)


@pytest.fixture
def holder(alice):
    return StripeCustomer.objects.create(
        project=alice.project, consumer=alice, stripe_customer_id="cus_A", synced_at=now()
    )


@pytest.fixture
def paid(alice, holder):
    """A payment of alice with its invoice."""
    at = now()
    whose = {"project": alice.project, "consumer": alice, "currency": "usd", "synced_at": at}
    Invoice.objects.create(
        stripe_invoice_id="in_A",
        number="A1-0001",
        status="paid",
        total_minor=1499,
        paid_minor=1499,
        pdf_url="https://stripe.example/in_A.pdf",
        created_at=at,
        **whose,
    )
    return Payment.objects.create(
        stripe_charge_id="ch_A",
        stripe_payment_intent_id="pi_A",
        status="succeeded",
        captured_minor=1499,
        created_at=at,
        **whose,
    )


@pytest.fixture
def subscribed(alice, holder, pro):
    """alice's subscription and the grant that follows it."""
    at = now()
    row = Subscription.objects.create(
        project=alice.project,
        consumer=alice,
        plan=pro,
        stripe_subscription_id="sub_A",
        status="active",
        currency="usd",
        mrr_minor=1499,
        current_period_start=at - 3 * DAY,
        current_period_end=at + 27 * DAY,
        started_at=at - 3 * DAY,
        synced_at=at,
    )
    follow(row, at + 34 * DAY)
    return row


def follow(subscription, until):
    set_source_grants(
        consumer=subscription.consumer,
        source="subscription",
        source_ref=subscription.stripe_subscription_id,
        wanted=[WantedGrant(subscription.plan, subscription.started_at, until)],
        reason="",
        actor="stripe",
        at=now(),
    )


def text(client, consumer, **asked):
    return client.get(page_of(consumer), asked).content.decode()


WHO = {
    "add_note": {"Support", "Finance", "Operator"},
    "remove_note": {"Support", "Finance", "Operator"},
    "set_tags": {"Support", "Finance", "Operator"},
}


def furnish(consumer, numbers):
    """An event with its entry, a payment and a key for each number, the greater the older."""
    at = now()
    InboxEvent.objects.bulk_create(
        InboxEvent(
            event_id=f"evt_{n}",
            type="customer.subscription.updated",
            livemode=False,
            stripe_customer_id="cus_A",
            payload={"id": f"evt_{n}", "request": {"idempotency_key": None}},
            state="done",
            request_id=f"req_{n}",
            received_at=at - timedelta(minutes=n),
        )
        for n in numbers
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            project=consumer.project,
            actor="stripe",
            act="subscription.change",
            object_kind="subscription",
            object_id="1",
            consumer_id=consumer.public_id,
            before={"status": "active"},
            after={"stripe_subscription_id": "sub_A", "status": "past_due"},
            request_id=f"req_{n}",
            created_at=at - timedelta(minutes=n) + timedelta(seconds=1),
        )
        for n in numbers
    )
    Payment.objects.bulk_create(
        Payment(
            project=consumer.project,
            consumer=consumer,
            stripe_charge_id=f"ch_{n}",
            status="succeeded",
            currency="usd",
            captured_minor=1499,
            created_at=at - n * DAY,
            synced_at=at,
        )
        for n in numbers
    )
    ApiKey.objects.bulk_create(
        ApiKey(project=consumer.project, consumer=consumer, digest=f"{n}", prefix="lk_live_x")
        for n in numbers
    )
