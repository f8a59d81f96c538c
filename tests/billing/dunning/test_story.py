"""An unpaid renewal from the failure to the end of access and back, at Stripe's stand-in."""

from datetime import timedelta

import pytest
from django.core import mail

from billing.dunning.steps import work_dunning
from billing.models import DunningCourse
from entitlements.selectors import entitlements_of
from keystore.models import AuditEntry, OutboxMessage
from metering.decide import Code, decide
from tests.billing.dunning.conftest import FAILED, UNTIL, codes
from tests.billing.subscribers import follow, give_card

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = timedelta(seconds=1)


def told(kind):
    return OutboxMessage.objects.filter(kind=kind).count()


def verified(subscription, at):
    asked = {"remote_ip": "", "scopes_wanted": (), "api": "", "feature": "", "at": at}
    return decide(token=subscription.key_text, **asked).code


def opened(alice, at):
    return [one.feature_code for one in entitlements_of(consumer=alice, at=at) if one.active]


def at_work(clock, at):
    """Our clock alone goes on: Stripe tries no other time."""
    clock.at = at
    return work_dunning(clock=clock)


def test_reminded_shut_out_to_the_second_and_let_in_by_one_sync(failed, alice, clock):
    course = DunningCourse.objects.get()
    assert (course.failed_at, course.access_until) == (FAILED, UNTIL)

    sent = [at_work(clock, FAILED + timedelta(days=days)) for days in (0, 0, 1, 3, 4)]
    assert sent == [1, 0, 0, 1, 0]
    assert at_work(clock, UNTIL - timedelta(days=1)) == 1
    assert codes(course) == [("day:0", "sent"), ("day:3", "sent"), ("last", "sent")]

    last, first = UNTIL - SECOND, UNTIL
    assert (opened(alice, last), verified(failed, last)) == (["pro"], Code.VALID)
    assert (opened(alice, first), verified(failed, first)) == ([], Code.EXPIRED)
    assert at_work(clock, first) == 1
    assert verified(failed, first) is Code.SUSPENDED_PAYMENT
    assert [one.subject for one in mail.outbox] == [
        "Your payment of 14.99 USD to Journal failed",
        "Reminder: 14.99 USD to Journal is still to be paid",
        "Last reminder: your access to Journal ends on 8 April 2026",
        "Your access to Journal has ended",
    ]

    give_card(alice.stripe_customer, "pm_card_visa")
    clock.sandbox.advance(timedelta(days=3))  # Stripe tries again by itself
    clock.at = UNTIL + timedelta(hours=2)
    follow(alice.stripe_customer, clock)
    assert (opened(alice, clock()), verified(failed, clock())) == (["pro"], Code.VALID)
    assert at_work(clock, clock()) == 1
    assert mail.outbox[-1].subject == "Thank you: your payment to Journal has arrived"
    course.refresh_from_db()
    assert (course.state, course.outcome, course.next_at) == ("closed", "paid", None)
    assert [told(kind) for kind in ("dunning.reminder_sent", "access.ended", "key.suspended")] == [
        3,
        1,
        1,
    ]
    assert [told(kind) for kind in ("payment.failed", "payment.recovered")] == [1, 1]
    acts = AuditEntry.objects.filter(act__startswith="dunning.").order_by("pk")
    assert [entry.act.partition(".")[2] for entry in acts] == [
        *("begin", "payment_failed", "reminder", "last_reminder", "access_ended", "close")
    ]


def test_when_stripe_gives_up_the_customer_is_told_so(failed, alice, clock):
    at_work(clock, clock())
    clock.advance(days=20)
    follow(alice.stripe_customer, clock)

    assert work_dunning(clock=clock) == 1
    assert mail.outbox[-1].subject == "Your subscription to Pro at Journal has ended"
    course = DunningCourse.objects.get()
    assert (course.outcome, codes(course)[-1]) == ("cancelled", ("subscription_ended", "sent"))


def test_whoever_cancels_is_not_written_to_any_more(failed, alice, clock):
    from billing import gateway

    at_work(clock, clock())
    gateway.write(
        f"/v1/subscriptions/{failed.stripe_subscription_id}",
        {},
        idempotency_key="t:cancel",
        method="delete",
    )
    follow(alice.stripe_customer, clock)

    assert at_work(clock, UNTIL) == 0
    assert DunningCourse.objects.get().outcome == "cancelled"
    assert len(mail.outbox) == 1


def test_an_event_that_comes_late_twice_or_never_leads_to_the_same_course(failed, alice, clock):
    """The plain sync, which no event has told of an invoice, finds the invoice and its failure."""
    from billing.models import DunningStep, Invoice
    from billing.sync import sync_customer

    DunningStep.objects.all().delete()
    DunningCourse.objects.all().delete()
    Invoice.objects.filter(status="open").delete()

    for _ in range(2):
        sync_customer(stripe_customer_id=alice.stripe_customer.stripe_customer_id, clock=clock)

    assert [(one.failed_at, one.state) for one in DunningCourse.objects.all()] == [
        (FAILED, "running")
    ]


def test_a_second_unpaid_renewal_brings_no_new_days_of_grace(failed, alice, clock):
    clock.sandbox.settings.after_retries = "past_due"  # Stripe goes on making invoices
    clock.advance(days=31)
    follow(alice.stripe_customer, clock)

    failed.refresh_from_db()
    assert failed.status == "past_due"
    assert failed.current_period_start > UNTIL
    assert opened(alice, clock()) == []
