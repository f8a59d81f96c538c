"""What is for sale and what was sold: prices and policies, then Stripe's state in our columns."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from billing.admin.card_acts import CardActs
from billing.admin.discount_acts import DiscountActs
from billing.admin.invoice_acts import InvoiceActs
from billing.admin.refund_page import refund_page
from billing.admin.subscription_acts import SubscriptionActs
from billing.admin.veil import veiled
from billing.models import (
    BillingPolicy,
    Checkout,
    Invoice,
    Operation,
    Payment,
    Price,
    Purchase,
    Refund,
    StripeCustomer,
    Subscription,
)
from billing.money import shown
from billing.prices import price_text
from keystore.admin.filters import DayFilter
from keystore.admin.pages import AuditedAdmin, ReadOnlyAdmin, holds, row_or_404

EMPTY = "-"
STATUS_COLOURS = {
    "active": "success",
    "succeeded": "success",
    "paid": "success",
    "complete": "success",
    "done": "success",
    "trialing": "info",
    "open": "info",
    "pending": "info",
    "wanted": "info",
    "sent": "info",
    "past_due": "warning",
    "unpaid": "warning",
    "incomplete": "warning",
    "unknown": "warning",
    "partly_refunded": "warning",
    "failed": "danger",
    "canceled": "danger",
    "refunded": "danger",
    "uncollectible": "danger",
}
SUMS = {"mrr_minor": "per month"}  # what a column is called, where its name does not say it
CONSUMER_SEARCH = ("consumer__external_id", "consumer__public_id")


def in_currency(name: str) -> Callable[[Any], str]:
    """A column of smallest units as people write money; `fee_minor` is in `fee_currency`."""
    stem = name.removesuffix("_minor")

    @admin.display(description=SUMS.get(name, stem.replace("_", " ")))
    def column(row: Any) -> str:
        amount = getattr(row, name)
        currency = getattr(row, f"{stem}_currency", "") or getattr(row, "currency", "")
        if amount is None:
            return EMPTY
        return shown(amount, currency) if currency else f"{amount:,}"

    return column


class SaleAdmin(ReadOnlyAdmin):
    """A row that belongs to a consumer and has a state in Stripe's words."""

    list_select_related: tuple[str, ...] = ("consumer", "project")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        names = super().get_fields(request, obj)
        return [in_currency(name) if name.endswith("_minor") else name for name in names]

    @display(description="status", label=STATUS_COLOURS)
    def status_label(self, row: Any) -> str:
        return str(getattr(row, "status", None) or row.state)

    @admin.display(description="amount")
    def amount(self, row: Any) -> str:
        return shown(row.amount_minor, row.currency)


@admin.register(BillingPolicy)
class BillingPolicyAdmin(AuditedAdmin):
    list_display = ("project", "grace_days", "tax", "currency", "takes_codes")
    list_select_related = ("project",)
    set_once = ("project",)


@admin.register(Price)
class PriceAdmin(SaleAdmin):
    list_display = ("stripe_price_id", "plan", "project", "kind", "amount", "interval", "active")
    list_filter = ("project", "kind", "active")
    list_select_related = ("plan", "project", "meter")
    search_fields = ("stripe_price_id", "stripe_product_id", "plan__code")
    masked_names: dict[str, str] = {}

    @admin.display(description="amount")
    def amount(self, row: Price) -> str:
        return price_text(row)


@admin.register(StripeCustomer)
class StripeCustomerAdmin(CardActs, SaleAdmin):
    list_display = ("stripe_customer_id", "who", "project", "currency", "deleted_at", "synced_at")
    list_filter = ("project", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("stripe_customer_id", *CONSUMER_SEARCH)


@admin.register(Subscription)
class SubscriptionAdmin(DiscountActs, SubscriptionActs, SaleAdmin):
    list_display = (
        "stripe_subscription_id",
        "who",
        "plan",
        "status_label",
        "mrr",
        "current_period_end",
        "cancel_at",
    )
    list_filter = (
        "project",
        "status",
        "plan",
        ("started_at", DayFilter),
        ("ended_at", DayFilter),
    )
    list_select_related = ("consumer", "plan", "project")
    search_fields = ("stripe_subscription_id", *CONSUMER_SEARCH)
    ordering = ("-started_at",)

    @admin.display(description="per month", ordering="mrr_minor")
    def mrr(self, subscription: Subscription) -> str:
        return shown(subscription.mrr_minor, subscription.currency)


@admin.register(Checkout)
class CheckoutAdmin(SaleAdmin):
    list_display = (
        "public_id",
        "who",
        "plan",
        "mode",
        "status_label",
        "created_at",
        "completed_at",
    )
    list_filter = ("project", "state", "mode", ("created_at", DayFilter))
    list_select_related = ("consumer", "plan", "project")
    search_fields = ("public_id", "=stripe_session_id", "stripe_subscription_id", *CONSUMER_SEARCH)
    ordering = ("-created_at",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Whoever has the page's address can pay and look on as the buyer.
        names = [name for name in super().get_fields(request, obj) if name != "session_url"]
        return ["session" if name == "stripe_session_id" else name for name in names]

    @admin.display(description="Stripe session id")
    def session(self, checkout: Checkout) -> str:
        return veiled(checkout.stripe_session_id)


@admin.register(Purchase)
class PurchaseAdmin(SaleAdmin):
    list_display = ("public_id", "who", "price", "amount", "status_label", "created_at")
    list_filter = ("project", "state", ("created_at", DayFilter))
    list_select_related = ("consumer", "price", "project")
    search_fields = ("public_id", "stripe_payment_intent_id", *CONSUMER_SEARCH)
    ordering = ("-created_at",)


@admin.register(Payment)
class PaymentAdmin(SaleAdmin):
    list_display = ("stripe_charge_id", "who", "captured", "refunded", "status_label", "created_at")
    list_filter = ("project", "status", "currency", "disputed", ("created_at", DayFilter))
    search_fields = (
        "public_id",
        "stripe_charge_id",
        "stripe_payment_intent_id",
        "stripe_invoice_id",
        *CONSUMER_SEARCH,
    )
    ordering = ("-created_at",)
    actions_detail = ("refund",)
    has_refund_permission = holds("billing.refund_payment", "billing.view_payment")

    @action(
        description="Refund",
        icon="undo",
        variant=ActionVariant.PRIMARY,
        permissions=["refund"],
    )
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page of its own: what will follow is told before the click."""
        payments = Payment.objects.select_related("project", "consumer")
        return refund_page(request, row_or_404(payments, object_id))

    @admin.display(description="captured", ordering="captured_minor")
    def captured(self, payment: Payment) -> str:
        return shown(payment.captured_minor, payment.currency)

    @admin.display(description="refunded", ordering="refunded_minor")
    def refunded(self, payment: Payment) -> str:
        return shown(payment.refunded_minor, payment.currency)


@admin.register(Refund)
class RefundAdmin(SaleAdmin):
    list_display = (
        "public_id",
        "stripe_refund_id",
        "payment",
        "amount",
        "status_label",
        "created_at",
    )
    list_filter = ("project", "status", ("created_at", DayFilter))
    list_select_related = ("payment", "project")
    search_fields = ("public_id", "stripe_refund_id", "payment__stripe_charge_id")
    ordering = ("-created_at",)
    masked_names: dict[str, str] = {}


@admin.register(Invoice)
class InvoiceAdmin(InvoiceActs, SaleAdmin):
    list_display = (
        *("number", "stripe_invoice_id", "who", "total", "tax", "credited", "status_label"),
        "created_at",
    )
    list_filter = (
        "project",
        "status",
        ("problem", admin.EmptyFieldListFilter),
        ("created_at", DayFilter),
    )
    search_fields = ("number", "stripe_invoice_id", "stripe_subscription_id", *CONSUMER_SEARCH)
    ordering = ("-created_at",)
    has_refund_permission = holds("billing.refund_payment", "billing.view_payment")

    @action(description="Refund", icon="undo", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Leads to the payment that paid the invoice."""
        invoice = row_or_404(Invoice.objects.all(), object_id)
        paid = Payment.objects.filter(
            stripe_invoice_id=invoice.stripe_invoice_id, project=invoice.project_id
        ).order_by("-captured_minor", "-created_at")
        payment = paid.first()
        if payment is None:
            messages.error(request, f"No payment of invoice {invoice} is known here.")
            return redirect("admin:billing_invoice_change", invoice.pk)
        return redirect("admin:billing_payment_refund", payment.pk)

    @admin.display(description="total", ordering="total_minor")
    def total(self, invoice: Invoice) -> str:
        return shown(invoice.total_minor, invoice.currency)

    @admin.display(description="tax", ordering="tax_minor")
    def tax(self, invoice: Invoice) -> str:
        return shown(invoice.tax_minor, invoice.currency) if invoice.tax_minor else ""

    @admin.display(description="credited", ordering="credited_minor")
    def credited(self, invoice: Invoice) -> str:
        return shown(invoice.credited_minor, invoice.currency) if invoice.credited_minor else ""


@admin.register(Operation)
class OperationAdmin(SaleAdmin):
    list_display = (
        "public_id",
        "kind",
        "about",
        "status_label",
        "attempts",
        "actor",
        "created_at",
    )
    list_filter = ("project", "state", "kind", ("created_at", DayFilter))
    list_select_related = ("project",)
    search_fields = ("public_id", "=subject", "=stripe_object_id", "request_id")
    ordering = ("-created_at",)
    masked_names = {"params": "masked_params"}
    veiled_names: ClassVar = {"subject": "about", "path": "where", "stripe_object_id": "made"}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [self.veiled_names.get(name, name) for name in super().get_fields(request, obj)]

    @admin.display(description="subject", ordering="subject")
    def about(self, operation: Operation) -> str:
        return veiled(operation.subject)

    @admin.display(description="path")
    def where(self, operation: Operation) -> str:
        return veiled(operation.path)

    @admin.display(description="Stripe object id")
    def made(self, operation: Operation) -> str:
        return veiled(operation.stripe_object_id)

    @admin.display(description="params")
    def masked_params(self, operation: Operation) -> str:
        return "hidden: it may name a person"
