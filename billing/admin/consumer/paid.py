"""What the consumer buys and paid."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.access import ENDED
from billing.admin.consumer import row_acts
from billing.admin.consumer.tables import (
    Act,
    Cells,
    Section,
    day,
    label,
    link,
    newest,
    outside,
)
from billing.admin.invoice_acts import OFFERED
from billing.admin.sales import STATUS_COLOURS
from billing.models import Checkout, Invoice, Payment, Purchase, Subscription
from billing.money import shown
from keystore.models import Consumer


def subscriptions(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = Subscription.objects.filter(consumer=consumer).select_related("plan")

    def cells(row: Subscription) -> Cells:
        return [
            link(row),
            str(row.plan or "not in our catalogue"),
            state(row.status),
            shown(row.mrr_minor, row.currency),
            day(row.current_period_end),
            _standing(row),
            day(row.trial_end),
        ]

    table = newest(
        consumer=consumer,
        rows=rows.order_by("-started_at"),
        headers=[
            "Subscription",
            "Plan",
            "Status",
            "Per month",
            "Period ends",
            "Then",
            "Trial ends",
        ],
        cells=cells,
        acts=lambda row: row_acts.offered(
            row_acts.SUBSCRIPTION_ACTS,
            row,
            row.stripe_subscription_id,
            consumer=consumer,
            user=user,
            at=at,
        ),
    )
    return Section("subscriptions", "Subscriptions", table)


def _standing(row: Subscription) -> str:
    if row.status in ENDED:
        return f"ended {row.ended_at:%Y-%m-%d}" if row.ended_at else "ended"
    if row.cancel_at is not None:
        return f"ends {row.cancel_at:%Y-%m-%d}"
    return "paused: nothing is collected" if row.paused else "renews"


def payments(consumer: Consumer, user: Any, at: datetime) -> Section:
    table = newest(
        consumer=consumer,
        rows=Payment.objects.filter(consumer=consumer).order_by("-created_at"),
        headers=["Payment", "Status", "Captured", "Refunded", "When", "What went wrong"],
        cells=lambda row: [
            link(row),
            label("disputed", "danger") if row.disputed else state(row.status),
            shown(row.captured_minor, row.currency),
            shown(row.refunded_minor, row.currency) if row.refunded_minor else "",
            day(row.created_at),
            row.failure_message,
        ],
        acts=lambda row: _payment_acts(row, user),
    )
    return Section("payments", "Payments", table)


def _payment_acts(row: Payment, user: Any) -> list[Act]:
    left = row.captured_minor - row.refunded_minor
    if row.status != "succeeded" or left <= 0 or not user.has_perm("billing.refund_payment"):
        return []
    url = reverse("admin:billing_payment_refund", args=[row.pk])
    return [Act("Refund", url, dialog=False)]


def invoices(consumer: Consumer, user: Any, at: datetime) -> Section:
    table = newest(
        consumer=consumer,
        rows=Invoice.objects.filter(consumer=consumer).order_by("-created_at"),
        headers=["Invoice", "Status", "Total", "Tax", "Paid", "Credited", "When", "PDF"],
        cells=lambda row: [
            link(row),
            state(row.status),
            shown(row.total_minor, row.currency),
            shown(row.tax_minor, row.currency) if row.tax_minor else "",
            shown(row.paid_minor, row.currency),
            shown(row.credited_minor, row.currency) if row.credited_minor else "",
            day(row.created_at),
            outside(row.pdf_url, "PDF"),
        ],
        acts=lambda row: _invoice_acts(row, consumer, user, at),
    )
    return Section("invoices", "Invoices", table, acts=_write_invoice(consumer, user))


def _invoice_acts(row: Invoice, consumer: Consumer, user: Any, at: datetime) -> list[Act]:
    acts = row_acts.offered(
        row_acts.INVOICE_ACTS, row, row.stripe_invoice_id, consumer=consumer, user=user, at=at
    )
    if row.status in OFFERED["credit"] and user.has_perm("billing.issue_creditnote"):
        url = reverse("admin:billing_invoice_credit", args=[row.pk])
        acts.append(Act("Credit", url, dialog=False))
    return acts


def _write_invoice(consumer: Consumer, user: Any) -> list[Act]:
    if not user.has_perm("billing.add_custominvoice"):
        return []
    url = reverse("admin:billing_custominvoice_draft")
    query = urlencode({"consumer": consumer.public_id})
    return [Act("Write an invoice", f"{url}?{query}", dialog=False)]


def purchases(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = Purchase.objects.filter(consumer=consumer).select_related("price__plan")
    table = newest(
        consumer=consumer,
        rows=rows.order_by("-created_at"),
        headers=["Purchase", "Plan", "State", "Amount", "When"],
        cells=lambda row: [
            link(row),
            str(row.price.plan),
            state(row.state),
            shown(row.amount_minor, row.currency),
            day(row.created_at),
        ],
    )
    return Section("purchases", "Purchases", table)


def checkouts(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = Checkout.objects.filter(consumer=consumer).select_related("plan")
    table = newest(
        consumer=consumer,
        rows=rows.order_by("-created_at"),
        headers=["Checkout", "Plan", "State", "Started", "Completed", "Problem"],
        cells=lambda row: [
            link(row),
            str(row.plan),
            state(row.state),
            day(row.created_at),
            day(row.completed_at),
            row.problem,
        ],
    )
    return Section("checkouts", "Checkouts", table)


def state(word: str) -> str:
    """One of Stripe's words in its colour."""
    return label(word.replace("_", " "), STATUS_COLOURS.get(word, ""))
