"""A renewal that fails: alice pays 14.99 USD a month for pro, until her card does not."""

from datetime import timedelta

import pytest

from tests.conftest import NOON

RENEWAL = NOON + timedelta(days=31)
FAILED = RENEWAL + timedelta(hours=1)  # Stripe finalizes the invoice an hour later
UNTIL = RENEWAL + timedelta(days=7)  # the days of grace count from the renewal


@pytest.fixture
def heard(alice):
    """An endpoint that hears everything."""
    return alice.project.hook_endpoints.create(url="https://hooks.example/x", kinds=[])


@pytest.fixture
def failed(alice, pro_monthly, clock, heard):
    """The renewal of alice's subscription failed an hour ago; nobody was told yet. `key_text` is
    the text of the key that came with it.
    """
    from keystore.handover import claim_key
    from tests.billing.subscribers import follow, give_card, subscribe

    row = subscribe(alice, pro_monthly, clock)
    key_text = claim_key(key=alice.keys.get(), at=clock())
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    clock.advance(days=31, hours=2)
    follow(alice.stripe_customer, clock)
    row.refresh_from_db()
    row.key_text = key_text
    return row


@pytest.fixture
def course(alice, pro):
    """A course in our tables alone, whose invoice failed at NOON and gives access for a week."""
    return course_of(alice, pro)


def course_of(consumer, plan, *, name="1", at=NOON, **facts):
    from billing.dunning.course import follow_courses
    from billing.models import DunningCourse, Invoice, StripeCustomer, Subscription

    terms = {"project": consumer.project, "consumer": consumer}
    StripeCustomer.objects.get_or_create(
        consumer=consumer,
        defaults={"project": consumer.project, "stripe_customer_id": f"cus_{consumer.pk}"},
    )
    Subscription.objects.create(
        **terms,
        stripe_subscription_id=f"sub_{name}",
        status="past_due",
        plan=plan,
        currency="usd",
        started_at=at - timedelta(days=31),
        current_period_start=at,
        current_period_end=at + timedelta(days=31),
        synced_at=at,
    )
    Invoice.objects.create(
        **terms,
        stripe_invoice_id=f"in_{name}",
        stripe_subscription_id=f"sub_{name}",
        hosted_url=f"https://invoice.stripe.com/i/{name}",
        **{
            "number": f"LK-{name}",
            "status": "open",
            "currency": "usd",
            "total_minor": 1499,
            "paid_minor": 0,
            "created_at": at,
            "synced_at": at,
            **facts,
        },
    )
    follow_courses(consumer=consumer, at=at)
    return DunningCourse.objects.get(invoice__stripe_invoice_id=f"in_{name}")


def codes(course):
    """(code, state) of each step, in the order in which they were taken."""
    return list(course.steps.order_by("pk").values_list("code", "state"))


def settle(course, status, **facts):
    """Let the projection of the invoice say this, and the course follow."""
    from billing.dunning.course import follow_courses
    from billing.models import Invoice

    Invoice.objects.filter(pk=course.invoice_id).update(status=status, **facts)
    follow_courses(consumer=course.consumer, at=NOON + timedelta(days=1))
    course.refresh_from_db()
