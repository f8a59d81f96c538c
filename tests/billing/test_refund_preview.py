"""What a refund would lead to is told before the click, and telling changes nothing."""

from datetime import timedelta

import pytest

from billing.ledger import recount_refunds
from billing.models import (
    Checkout,
    Dispute,
    Invoice,
    Payment,
    Price,
    PriceKind,
    Purchase,
    Refund,
    RefundRequest,
    Subscription,
)
from billing.money import NotAnAmount, minor_of, typed
from billing.refund_preview import preview_refund, tax_share
from entitlements.models import GrantSource
from entitlements.services import WantedGrant, give_grant, set_source_grants
from keystore.services import provision_key
from tests.billing.refund_cast import AT_PERIOD_END, CANCEL_NOW, a_budget, a_limit, a_person
from tests.conftest import NOON

PERIOD_END = NOON + timedelta(days=30)
DATES = {"created_at": NOON, "synced_at": NOON}


@pytest.fixture
def price(pro):
    return Price.objects.create(
        project=pro.project,
        plan=pro,
        stripe_price_id="price_1",
        kind=PriceKind.ONE_OFF,
        amount_minor=10_000,
        currency="usd",
    )


@pytest.fixture
def payment(alice):
    """100.00 USD that alice paid at noon."""
    return Payment.objects.create(
        project=alice.project,
        consumer=alice,
        stripe_charge_id="ch_1",
        stripe_payment_intent_id="pi_1",
        status="succeeded",
        currency="usd",
        captured_minor=10_000,
        **DATES,
    )


@pytest.fixture
def purchase(alice, payment, price):
    """It bought pro once, with a grant and a key."""
    own = {"project": alice.project, "consumer": alice, "price": price}
    checkout = Checkout.objects.create(plan=price.plan, mode="payment", state="complete", **own)
    opens(alice, price.plan, GrantSource.PURCHASE, "pi_1", None)
    return Purchase.objects.create(
        checkout=checkout,
        stripe_payment_intent_id="pi_1",
        amount_minor=10_000,
        currency="usd",
        **own,
        **DATES,
    )


@pytest.fixture
def subscription(alice, payment, price):
    """It paid the first of pro's periods, 20.00 USD of it tax."""
    own = {"project": alice.project, "consumer": alice}
    Payment.objects.update(stripe_invoice_id="in_1")
    payment.stripe_invoice_id = "in_1"
    money = {"currency": "usd", "total_minor": 10_000, "paid_minor": 10_000, "tax_minor": 2_000}
    Invoice.objects.create(
        stripe_invoice_id="in_1",
        stripe_subscription_id="sub_1",
        status="paid",
        **money,
        **own,
        **DATES,
    )
    opens(alice, price.plan, GrantSource.SUBSCRIPTION, "sub_1", PERIOD_END)
    return Subscription.objects.create(
        stripe_subscription_id="sub_1",
        status="active",
        price=price,
        plan=price.plan,
        currency="usd",
        current_period_start=NOON,
        current_period_end=PERIOD_END,
        started_at=NOON,
        synced_at=NOON,
        **own,
    )


def opens(consumer, plan, source, source_ref, until):
    set_source_grants(
        consumer=consumer,
        source=source,
        source_ref=source_ref,
        wanted=[WantedGrant(plan, NOON, until)],
        reason="",
        actor="stripe",
        at=NOON,
    )
    provision_key(
        consumer=consumer,
        slot=f"{source_ref}:default",
        environment="test",
        limit_per_minute=None,
        expires_at=None,
        metadata={},
        at=NOON,
    )


def preview(payment, amount=10_000, *, after="keep", ends_access=False, at=NOON, person=None):
    return preview_refund(
        payment=payment,
        amount_minor=amount,
        after=after,
        ends_access=ends_access,
        at=at,
        person=person,
    )


# --- The policy ---


@pytest.mark.parametrize(
    ("amount", "ends_access", "ends"),
    [(10_000, False, True), (10_000, True, True), (9_999, False, False), (9_999, True, True)],
)
def test_a_purchase_ends_with_its_money_or_when_staff_say_so(
    payment, purchase, amount, ends_access, ends
):
    told = preview(payment, amount, ends_access=ends_access)

    assert told.access_ends_at == (NOON if ends else None)
    assert told.features_lost == (("pro",) if ends else ())
    assert (len(told.keys), told.keys_are_revoked) == (int(ends), False)


@pytest.mark.parametrize("amount", [10_000, 100])
@pytest.mark.parametrize(
    ("after", "ends_at"), [("keep", None), (CANCEL_NOW, NOON), (AT_PERIOD_END, PERIOD_END)]
)
def test_a_subscription_ends_when_staff_cancel_it_whatever_goes_back(
    payment, subscription, amount, after, ends_at
):
    told = preview(payment, amount, after=after)

    assert (told.access_ends_at, told.plan) == (ends_at, "Pro")
    assert [len(told.keys), told.keys_are_revoked] == [int(ends_at is not None), True]


def test_what_another_grant_keeps_open_is_said(payment, purchase, alice, pro):
    give_grant(
        consumer=alice,
        plan=pro,
        valid_from=NOON,
        valid_to=None,
        reason="a friend",
        granted_by="staff:sam",
        idempotency_key="friend",
        actor="staff:sam",
        at=NOON,
    )

    told = preview(payment)

    assert (told.features_lost, told.features_kept) == ((), ("pro",))


def test_the_rest_after_a_partial_refund_is_a_full_one(payment, purchase):
    Refund.objects.create(
        project=payment.project,
        payment=payment,
        status="succeeded",
        amount_minor=4_000,
        currency="usd",
    )
    recount_refunds(payment)

    told = preview(payment, 6_000)

    assert (told.is_full, told.left_after_minor, told.access_ends_at) == (True, 0, NOON)


# --- Money, tax and time ---


@pytest.mark.parametrize(
    ("amount", "tax"), [(10_000, 2_000), (5_000, 1_000), (1, 0), (3, 1), (9_999, 2_000)]
)
def test_the_tax_within_an_amount_is_rounded_once(payment, subscription, amount, tax):
    assert tax_share(Invoice.objects.get(), amount) == tax == preview(payment, amount).tax_minor


@pytest.mark.parametrize(
    ("days", "left", "worth"), [(0, 30, 10_000), (10, 20, 6_666), (29, 1, 333)]
)
def test_the_unused_part_of_the_period_is_said(payment, subscription, days, left, worth):
    unused = preview(payment, at=NOON + timedelta(days=days)).unused

    assert unused is not None
    assert (unused.days_left, unused.days, unused.amount_minor) == (left, 30, worth)


def test_nothing_is_unused_of_a_period_that_is_over(payment, subscription):
    assert preview(payment, at=PERIOD_END).unused is None


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("14.99", "usd", 1499), ("1500", "jpy", 1500), ("12.340", "kwd", 12_340), (" .5 ", "eur", 50)],
)
def test_amounts_are_read_as_people_write_them(text, currency, minor):
    assert minor_of(text, currency) == minor
    assert minor_of(typed(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(("14.999", "usd"), ("1.5", "jpy"), ("12.345", "kwd"), ("1,000", "usd"), ("", "usd")),
        *(("-1", "usd"), ("٣", "usd"), ("Infinity", "usd"), ("9" * 30, "usd"), ("1.2.3", "usd")),
    ],
)
def test_amounts_that_the_currency_lacks_are_refused(text, currency):
    with pytest.raises(NotAnAmount):
        minor_of(text, currency)


# --- What stands against it ---


def test_limit_and_budget_are_said(payment, alice):
    a_limit(alice.project, 2_000)
    a_budget(alice.project, "Support", 2_500)

    told = preview(payment, 3_000, person=a_person("sam", "Support"))

    assert told.approval_reason == "above 20.00 USD per payment a second person must agree"
    assert (told.budget_role, told.budget_left_minor) == ("Support", 2_500)
    assert told.blocks == ("Your budget of this month has 25.00 USD left.",)


def test_a_dispute_and_an_open_request_are_said(payment, alice):
    own = {"project": alice.project, "consumer": alice, "payment": payment, "currency": "usd"}
    Dispute.objects.create(
        stripe_dispute_id="du_1", status="under_review", amount_minor=10_000, **own, **DATES
    )
    RefundRequest.objects.create(
        amount_minor=1, reason="x", state="awaiting", requested_by="staff:sue", wish="w", **own
    )

    first, second = preview(payment).blocks

    assert "dispute du_1, under review" in first
    assert "by staff:sue is awaiting" in second


def test_telling_changes_nothing(payment, purchase, django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        preview(payment)

    payment.refresh_from_db()
    assert (payment.refunded_minor, RefundRequest.objects.count()) == (0, 0)
