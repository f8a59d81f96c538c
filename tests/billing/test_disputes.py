"""What banks take back and what credit notes correct: kept, and followed to access and keys."""

from datetime import timedelta

import pytest

from billing import inbox
from billing.models import CreditNote, Dispute, InboxEvent, Invoice, Payment, Refund, Subscription
from billing.receipt import keep
from billing.sync import sync_customer
from entitlements.models import Grant
from keystore.models import ApiKey
from sandbox.engine.disputes import close_dispute, open_dispute
from tests.billing.refund_cast import stripe
from tests.billing.test_sync import customer, subscribe  # noqa: F401
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bought(alice, lifetime, clock, bought_once):
    """The lifetime plan, 99.00 USD, paid by alice."""
    return bought_once(alice, lifetime)


@pytest.fixture
def subscribed(customer, pro_monthly, clock):  # noqa: F811
    """Pro, 14.99 USD a month, paid by alice at noon."""
    subscribe(customer, pro_monthly)
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)
    return Payment.objects.get()


def open_plans(clock):
    return [grant.plan.code for grant in Grant.objects.live(clock() + timedelta(seconds=1))]


def hear(clock):
    """Every event of Stripe's since the last time is delivered and worked off."""
    known = set(InboxEvent.objects.values_list("event_id", flat=True))
    for event in clock.sandbox.store.all("event"):
        if event["id"] not in known:
            keep(event=event, at=clock())
    inbox.work_due(clock=clock, limit=200)
    assert not InboxEvent.objects.filter(state__in=("pending", "parked")).exists()


def take_back(payment, clock, **more):
    charge = clock.sandbox.store.get("charge", payment.stripe_charge_id)
    found = open_dispute(clock.sandbox, charge, **more)
    hear(clock)
    return found


def decide(found, clock, *, won):
    close_dispute(clock.sandbox, found, won=won)
    hear(clock)


def test_a_dispute_is_kept_and_access_stays_while_the_bank_decides(bought, clock):
    take_back(bought, clock)

    dispute = Dispute.objects.get()
    assert (dispute.payment, dispute.status, dispute.amount_minor) == (
        bought,
        "needs_response",
        9_900,
    )
    assert dispute.evidence_due_at == NOON + timedelta(days=9)
    assert open_plans(clock) == ["lifetime"]


def test_a_lost_dispute_ends_access_as_a_full_refund_does(bought, clock):
    decide(take_back(bought, clock), clock, won=False)

    assert (Dispute.objects.get().status, open_plans(clock)) == ("lost", [])
    assert ApiKey.objects.get().disabled_because == "payment"


def test_a_won_dispute_leaves_access_and_one_that_turns_restores_it(bought, clock):
    found = take_back(bought, clock)
    decide(found, clock, won=False)
    assert open_plans(clock) == []

    with clock.sandbox.changing(found):
        found["status"] = "won"  # the bank thought again
    hear(clock)

    assert (Dispute.objects.get().status, open_plans(clock)) == ("won", ["lifetime"])
    assert ApiKey.objects.get().disabled_at is None


def test_a_part_that_was_lost_keeps_access_as_a_partial_refund_does(bought, clock):
    decide(take_back(bought, clock, amount=2_000), clock, won=False)

    assert (Dispute.objects.get().status, open_plans(clock)) == ("lost", ["lifetime"])


def test_a_lost_period_closes_a_subscription_until_the_next_is_paid(subscribed, clock):
    decide(take_back(subscribed, clock), clock, won=False)
    assert (Subscription.objects.get().status, open_plans(clock)) == ("active", [])
    assert ApiKey.objects.get().disabled_because == "payment"

    clock.advance(days=32)
    hear(clock)

    assert Payment.objects.count() == 2
    assert open_plans(clock) == ["pro"]
    assert ApiKey.objects.get().disabled_at is None


def test_a_credit_note_is_kept_with_the_refund_that_it_made(subscribed, clock):
    invoice = Invoice.objects.get()
    stripe(
        "/v1/credit_notes",
        invoice=invoice.stripe_invoice_id,
        amount=500,
        refund_amount=500,
        reason="product_unsatisfactory",
    )
    hear(clock)

    note = CreditNote.objects.get()
    assert (note.invoice, note.status, note.amount_minor) == (invoice, "issued", 500)
    assert (note.number, note.reason) == (f"{invoice.number}-CN-01", "product_unsatisfactory")
    assert Refund.objects.get().amount_minor == 500
    assert open_plans(clock) == ["pro"]


def test_credit_notes_that_nobody_told_are_found_by_a_full_sync(subscribed, clock):
    invoice = Invoice.objects.get()
    params = {"invoice": invoice.stripe_invoice_id, "amount": 300, "credit_amount": 300}
    stripe("/v1/credit_notes", **params)

    of = subscribed.consumer.stripe_customer.stripe_customer_id
    report = sync_customer(stripe_customer_id=of, clock=clock, full=True)

    assert CreditNote.objects.get().amount_minor == 300
    assert report.mirror_problems == []


def test_the_tax_of_an_invoice_is_known(customer, pro_monthly, clock):  # noqa: F811
    rate = stripe("/v1/tax_rates", display_name="VAT", percentage=20, inclusive="false")
    subscribe(customer, pro_monthly, default_tax_rates=[rate["id"]])

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)

    invoice = Invoice.objects.get()
    assert (invoice.total_minor, invoice.tax_minor) == (1_799, 300)
