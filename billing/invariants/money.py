"""Promises about money: nothing is given back twice, nothing stays without an outcome."""

from datetime import datetime, timedelta

from django.db.models import BigIntegerField, F, Q, Sum
from django.db.models.functions import Coalesce

from billing.invariants.found import Check, Found, found_rows
from billing.models import (
    Checkout,
    CourseState,
    DunningCourse,
    Operation,
    Payment,
    RefundRequest,
    Subscription,
)
from billing.models.operations import OPEN_STATES
from billing.models.projections import HOLDING
from billing.money import shown

UNKNOWN_FOR = timedelta(minutes=15)
FULFILMENT = timedelta(minutes=15)
LATE_EXPIRY = timedelta(minutes=10)


def _refunded() -> Coalesce:
    held = Sum("refunds__amount_minor", filter=Q(refunds__status__in=HOLDING))
    return Coalesce(held, 0, output_field=BigIntegerField())


def refunds_above_captured(at: datetime) -> Found:
    rows = Payment.objects.filter(refunds__isnull=False).annotate(given=_refunded())
    return found_rows(
        rows.filter(given__gt=F("captured_minor")).order_by("pk"),
        lambda row: (
            f"{shown(row.given, row.currency)} given back of "
            f"{shown(row.captured_minor, row.currency)}"
        ),
    )


def ledger_differs(at: datetime) -> Found:
    rows = Payment.objects.filter(Q(refunded_minor__gt=0) | Q(refunds__isnull=False))
    rows = rows.annotate(given=_refunded()).exclude(given=F("refunded_minor"))
    return found_rows(
        rows.order_by("pk"),
        lambda row: (
            f"the payment says {shown(row.refunded_minor, row.currency)}, "
            f"its refunds {shown(row.given, row.currency)}"
        ),
    )


def operations_unknown(at: datetime) -> Found:
    """Sent and without an outcome, or never sent, for a quarter of an hour."""
    rows = Operation.objects.filter(state__in=OPEN_STATES, created_at__lt=at - UNKNOWN_FOR)
    return found_rows(
        rows.order_by("created_at"),
        lambda row: f"{row.state} since {row.created_at:%Y-%m-%d %H:%M}: {row.error}",
    )


def checkouts_unfulfilled(at: datetime) -> Found:
    """Complete at Stripe for a while, and neither a purchase nor a subscription stands here."""
    rows = Checkout.objects.filter(state="complete", completed_at__lt=at - FULFILMENT)
    paid = rows.filter(Q(mode="payment", purchase=None) & ~Q(stripe_payment_intent_id=""))
    paid |= (
        rows.filter(mode="subscription")
        .exclude(stripe_subscription_id="")
        .exclude(stripe_subscription_id__in=Subscription.objects.values("stripe_subscription_id"))
    )
    return found_rows(
        paid.order_by("pk"),
        lambda row: f"paid {row.completed_at:%Y-%m-%d %H:%M}, nothing came of it",
    )


def requests_expired(at: datetime) -> Found:
    rows = RefundRequest.objects.filter(state="awaiting", expires_at__lt=at - LATE_EXPIRY)
    return found_rows(
        rows.order_by("pk"), lambda row: f"expired {row.expires_at:%Y-%m-%d %H:%M}, still waits"
    )


def settled_and_reminded(at: datetime) -> Found:
    """What is not owed any more, and would be asked for again."""
    rows = DunningCourse.objects.exclude(state=CourseState.CLOSED).select_related("invoice")
    rows = rows.filter(invoice__status__in=("paid", "void", "uncollectible"))
    return found_rows(
        rows.order_by("pk"), lambda row: f"invoice {row.invoice} is {row.invoice.status}"
    )


CHECKS = (
    Check(
        "refunds-within-captured",
        "No payment gives back more than was taken",
        "Stop refunding the payments named here. Compare their refunds with Stripe's, sync their "
        "customers, and tell whoever answers for the money.",
        refunds_above_captured,
    ),
    Check(
        "ledger-equals-refunds",
        "What a payment says is given back is the sum of its refunds",
        "Sync the customer: that counts the refunds anew. If it comes back, read the audit trail "
        "of the payment.",
        ledger_differs,
    ),
    Check(
        "operations-have-outcomes",
        "Every call to Stripe has an outcome within 15 minutes",
        "Look whether Stripe and the worker are up: the janitor asks Stripe and settles them. "
        "Never repeat such a call by hand before its outcome is known.",
        operations_unknown,
    ),
    Check(
        "paid-checkouts-are-fulfilled",
        "Whoever has paid has what was bought within 15 minutes",
        "Open the customer and press Sync. If nothing comes, read the inbox for that customer.",
        checkouts_unfulfilled,
    ),
    Check(
        "refund-requests-expire",
        "No refund waits for approval after its time",
        "The job that works off refund requests did not run: see Jobs.",
        requests_expired,
    ),
    Check(
        "settled-invoices-are-not-reminded-of",
        "Nobody is reminded of an invoice that is settled",
        "Sync the customer: that ends the course. Until then a reminder waits at most for its "
        "day, and is withdrawn when the invoice is settled by then.",
        settled_and_reminded,
    ),
)
