"""The figures of the business: by day, by currency, by project."""

from datetime import date, timedelta

import pytest

from billing.figures import Days, movement_of, revenue_by_day, revenue_of, subscription_metrics
from billing.models import Payment, Refund, Subscription
from tests.conftest import NOON

MARCH = Days(date(2026, 3, 1), date(2026, 3, 3))
A_DAY = timedelta(days=1)


@pytest.fixture
def subscribe(alice):
    """A subscription row of alice: `subscribe(started=-1, ended=1)`, in days from noon."""

    def make(*, started, ended=None, status="active", consumer=alice, currency="usd"):
        return Subscription.objects.create(
            project=consumer.project,
            consumer=consumer,
            stripe_subscription_id=f"sub_{Subscription.objects.count()}",
            status=status,
            currency=currency,
            mrr_minor=1000,
            started_at=NOON + started * A_DAY,
            ended_at=None if ended is None else NOON + ended * A_DAY,
            synced_at=NOON,
        )

    return make


@pytest.fixture
def pay(alice):
    """A payment row of alice: `pay(1499, "usd", day=1, refunded=500)`, in days from noon."""

    def make(amount, currency="usd", *, day=0, refunded=0, fee=None, consumer=alice, at=None):
        made = at or NOON + day * A_DAY
        payment = Payment.objects.create(
            project=consumer.project,
            consumer=consumer,
            stripe_charge_id=f"ch_{Payment.objects.count()}",
            status="succeeded",
            currency=currency,
            captured_minor=amount,
            refunded_minor=refunded,
            fee_minor=fee,
            fee_currency=currency if fee is not None else "",
            created_at=made,
            synced_at=made,
        )
        if refunded:
            Refund.objects.create(
                project=consumer.project,
                payment=payment,
                status="succeeded",
                amount_minor=refunded,
                currency=currency,
                created_at=made + A_DAY,
            )
        return payment

    return make


def test_days_are_counted_by_their_own_newcomers_and_leavers(journal, subscribe):
    subscribe(started=-10)
    subscribe(started=-10, ended=1, status="canceled")
    subscribe(started=1)

    moved = movement_of(project=journal, days=MARCH)

    assert [(day.running, day.new, day.lost) for day in moved.days] == [
        (2, 0, 0),
        (2, 1, 1),
        (2, 0, 0),
    ]
    assert (moved.running_before, moved.new, moved.lost, moved.churn_percent) == (2, 1, 1, 50.0)


def test_subscription_that_was_never_paid_is_neither_new_nor_lost(journal, subscribe):
    subscribe(started=0, ended=1, status="incomplete_expired")
    subscribe(started=0, status="incomplete")

    moved = movement_of(project=journal, days=MARCH)

    assert (moved.new, moved.lost, moved.days[-1].running) == (0, 0, 0)
    assert moved.churn_percent is None


def test_subscription_that_ended_before_the_days_is_not_running(journal, subscribe):
    subscribe(started=-10, ended=-5, status="canceled")

    assert movement_of(project=journal, days=MARCH).running_before == 0


def test_currencies_are_never_added_together(journal, pay):
    pay(1499, "usd")
    pay(2000, "jpy")

    lines = revenue_by_day(project=journal, days=MARCH)

    assert [(line.currency, line.net_minor) for line in lines] == [("jpy", 2000), ("usd", 1499)]


def test_refund_counts_on_the_day_it_was_made(journal, pay):
    pay(1499, refunded=500)

    (line,) = revenue_by_day(project=journal, days=MARCH)

    assert [(day.gross_minor, day.refunded_minor) for day in line.days] == [
        (1499, 0),
        (0, 500),
        (0, 0),
    ]
    assert (line.gross_minor, line.refunded_minor, line.net_minor) == (1499, 500, 999)


def test_last_moment_of_the_last_day_counts_and_the_next_does_not(journal, pay):
    pay(100, at=MARCH.until - timedelta(microseconds=1))
    pay(700, at=MARCH.until)

    (line,) = revenue_by_day(project=journal, days=MARCH)

    assert (line.gross_minor, line.days[-1].gross_minor) == (100, 100)


def test_fees_are_counted_where_stripe_told_them(journal, pay):
    pay(1499, fee=73)
    pay(1499)

    (line,) = revenue_of(project=journal)

    assert (line.payments, line.fees_known, line.fees_minor, line.net_minor) == (2, 1, 73, 2998)


def test_project_sees_only_its_own_and_all_together_everything(
    journal, orbit, mallory, pay, subscribe
):
    pay(100)
    pay(7, consumer=mallory)
    subscribe(started=0, consumer=mallory)

    assert [line.gross_minor for line in revenue_of(project=journal)] == [100]
    assert [line.gross_minor for line in revenue_of(project=None)] == [107]
    assert subscription_metrics(project=journal).active == 0
    assert subscription_metrics(project=None).active == 1


def test_api_answers_from_the_same_figures(journal, api, pay):
    pay(1499, refunded=500, fee=73)

    (line,) = api.get(f"/api/v1/metrics/project/{journal.pk}/revenue").json()["revenue"]

    assert line == {
        "currency": "usd",
        "payments": 1,
        "gross_minor": 1499,
        "refunded_minor": 500,
        "net_minor": 999,
        "fees_minor": 73,
        "fees_known": 1,
    }
