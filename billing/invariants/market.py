"""Promises about creators' money: all of it is on the ledger, and no payout is lost."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.invariants.found import Check, Found, found_rows
from billing.models import Earning, Invoice, Payment, Payout, PayoutState, Purchase, Subscription
from billing.money import shown

WRITTEN_WITHIN = timedelta(minutes=15)
LOOKED_BACK = timedelta(days=35)
PAID_WITHIN = timedelta(days=14)
GIVEN_BACK = (PayoutState.FAILED, PayoutState.RETURNED)


def sales_unwritten(at: datetime) -> Found:
    """Of the last weeks: paid for a plan of a listed API, and not on the ledger."""
    listed = Q(plan__api__listing__isnull=False)
    subscriptions = Subscription.objects.filter(listed).values("stripe_subscription_id")
    sold = Purchase.objects.filter(price__plan__api__listing__isnull=False)
    paid = Payment.objects.filter(
        status="succeeded",
        captured_minor__gt=0,
        earnings=None,
        created_at__gte=at - LOOKED_BACK,
        synced_at__lt=at - WRITTEN_WITHIN,
    )
    invoices = _invoices_since_listing(subscriptions)
    purchases = sold.filter(
        created_at__gte=F("price__plan__api__listing__created_at"),
    ).exclude(stripe_payment_intent_id="")
    rows = paid.filter(
        Q(stripe_invoice_id__in=invoices)
        | Q(stripe_payment_intent_id__in=purchases.values("stripe_payment_intent_id"))
    )
    return found_rows(
        rows.order_by("pk"), lambda row: f"{shown(row.captured_minor, row.currency)} unwritten"
    )


def _invoices_since_listing(subscriptions: QuerySet[Any]) -> QuerySet[Any]:
    since = Subscription.objects.filter(
        stripe_subscription_id=OuterRef("stripe_subscription_id")
    ).values("plan__api__listing__created_at")[:1]
    rows = Invoice.objects.filter(stripe_subscription_id__in=subscriptions, paid_minor__gt=0)
    return rows.filter(created_at__gte=Subquery(since)).values("stripe_invoice_id")


def refunded_sales_stand(at: datetime) -> Found:
    """All of a payment went back, and something of its sale is still on the ledger."""
    rows = Payment.objects.filter(earnings__isnull=False, disputed=False)
    whole = rows.filter(refunded_minor=F("captured_minor"), synced_at__lt=at - WRITTEN_WITHIN)
    left = whole.annotate(left=Sum("earnings__amount_minor")).exclude(left=0)
    return found_rows(
        left.exclude(refunds__status="wanted").order_by("pk"),
        lambda row: f"{shown(row.left, row.currency)} of it is still on the ledger",
    )


def payouts_off_ledger(at: datetime) -> Found:
    """The lines of a payout: its amount once while it stands, nothing when it came back."""
    sums = Earning.objects.filter(payout=OuterRef("pk")).order_by().values("payout")
    lines = Subquery(sums.annotate(sum=Sum("amount_minor")).values("sum"))
    rows = Payout.objects.annotate(moved=Coalesce(lines, 0, output_field=BigIntegerField()))
    wrong = rows.filter(
        Q(state__in=GIVEN_BACK) & ~Q(moved=0)
        | ~Q(state__in=GIVEN_BACK) & ~Q(moved=-F("amount_minor"))
    )
    return found_rows(
        wrong.order_by("pk"),
        lambda row: f"{row.state}, its lines sum to {shown(row.moved, row.currency)}",
    )


def payouts_unended(at: datetime) -> Found:
    rows = Payout.objects.filter(finished_at=None, created_at__lt=at - PAID_WITHIN)
    return found_rows(rows.order_by("pk"), lambda row: f"{row.state}: {row.problem or 'no answer'}")


CHECKS = (
    Check(
        "sales-are-on-the-ledger",
        "Every payment for a creator's API is on the ledger within 15 minutes",
        "Sync the customer with the whole history: that writes the sale.",
        sales_unwritten,
    ),
    Check(
        "refunded-sales-are-taken-back",
        "A sale that was given back as a whole earns nothing",
        "Sync the customer: that takes it back.",
        refunded_sales_stand,
    ),
    Check(
        "payouts-are-on-the-ledger",
        "A payout is off the balance while it stands, and on it when it came back",
        "Pause the creator's payouts and compare the transfer named here with Stripe's.",
        payouts_off_ledger,
    ),
    Check(
        "payouts-end",
        "No payout has been under way for two weeks",
        "Look at its problem: a reversal that Stripe refuses needs money on the creator's account.",
        payouts_unended,
    ),
)
