"""What Stripe says, in columns of our own: the part of its state that decisions read."""

from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.catalog import Price
from billing.models.checkout import Checkout
from billing.models.operations import Operation
from entitlements.models import Plan
from keystore.ids import new_id
from keystore.models import Consumer, Project


class StripeCustomer(models.Model):
    """The one Stripe customer of a consumer."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="stripe_customers")
    consumer = models.OneToOneField(Consumer, models.PROTECT, related_name="stripe_customer")
    stripe_customer_id = models.CharField(max_length=255, unique=True)
    currency = models.CharField(max_length=3, blank=True)
    # The first of Stripe's preferred_locales that we speak. Empty: none
    language = models.CharField(max_length=10, blank=True)
    country = models.CharField(max_length=2, blank=True)  # of the billing address, as DE
    deleted_at = models.DateTimeField(null=True, blank=True)  # deleted at Stripe
    synced_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("sync_stripecustomer", "Can sync a customer with Stripe"),
            ("view_mirror", "Can see Stripe's objects as they are mirrored"),
        ]

    def __str__(self) -> str:
        return self.stripe_customer_id


class Subscription(models.Model):
    """A Stripe subscription. `status` is Stripe's own word."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="subscriptions")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="subscriptions")
    stripe_subscription_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=30)
    # None: the price is not in our catalogue, so it opens nothing.
    price = models.ForeignKey(Price, models.PROTECT, null=True, related_name="subscriptions")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, related_name="subscriptions")
    quantity = models.PositiveIntegerField(default=1)
    currency = models.CharField(max_length=3)
    mrr_minor = models.BigIntegerField(default=0)  # per month, before discounts and tax
    current_period_start = models.DateTimeField(null=True)  # None: has no items
    current_period_end = models.DateTimeField(null=True)
    cancel_at = models.DateTimeField(null=True)  # None: renews
    canceled_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=40, blank=True)  # Stripe's word: payment_failed
    trial_end = models.DateTimeField(null=True)
    paused = models.BooleanField(default=False)  # payment collection is paused
    # None: nothing is paused, or somebody paused it without us.
    paid_until = models.DateTimeField(null=True)
    # When the oldest renewal since the last paid one was asked for; None: nothing is owed.
    unpaid_since = models.DateTimeField(null=True)
    taxed = models.BooleanField(default=False)  # Stripe Tax counts it
    # [{"id", "coupon", "name", "percent_off", "amount_off_minor", "currency", "code", "ends_at"}]
    discounts = models.JSONField(default=list)
    # The next invoice as Stripe previewed it; None: nobody had to ask, its prices say it.
    upcoming = models.JSONField(null=True)
    items = models.JSONField(default=list)  # [{"price_id", "quantity"}] as Stripe has them
    trial_told_for = models.DateTimeField(null=True)  # the end of trial that was announced
    # Set with it while the mail about it is still to be sent.
    trial_mail_due = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        permissions = [
            ("change_plan_subscription", "Can change a subscription at Stripe"),
            ("discount_subscription", "Can give a subscription a discount, or take it away"),
        ]
        indexes = [
            models.Index(fields=["project", "status"], name="subscription_by_status"),  # metrics
            models.Index(fields=["project", "started_at"], name="subscription_by_start"),
            models.Index(fields=["project", "ended_at"], name="subscription_by_end"),  # churn
            models.Index(fields=["consumer"], name="subscription_by_consumer"),
            models.Index(
                fields=["trial_end"],
                condition=Q(trial_mail_due=True),
                name="subscription_trial_mail",
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_subscription_id


class Invoice(models.Model):
    """A Stripe invoice."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="invoices")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="invoices")
    stripe_invoice_id = models.CharField(max_length=255, unique=True)
    stripe_subscription_id = models.CharField(max_length=255, blank=True)
    number = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    paid_minor = models.BigIntegerField()
    # What is still owed, without credit. None: not read since this is kept
    remaining_minor = models.BigIntegerField(null=True)
    tax_minor = models.BigIntegerField(default=0)  # part of the total
    # What credit notes take from the total, wanted ones included; set by conditional update.
    credited_minor = models.BigIntegerField(default=0)
    subtotal_minor = models.BigIntegerField(null=True)  # before discounts; None: not seen yet
    discount_minor = models.BigIntegerField(default=0)
    problem = models.TextField(blank=True)  # why Stripe could not finalize it
    due_at = models.DateTimeField(null=True)  # None: charged automatically
    hosted_url = models.TextField(blank=True)
    pdf_url = models.TextField(blank=True)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        permissions = [
            ("collect_invoice", "Can collect an open invoice"),
            ("close_invoice", "Can void, give up or settle an invoice elsewhere"),
        ]
        constraints = [
            # The last line of defence: never credit more than was asked for.
            models.CheckConstraint(
                condition=Q(credited_minor=0)
                | Q(credited_minor__gt=0) & Q(credited_minor__lte=F("total_minor")),
                name="invoice_credits_within_total",
            ),
        ]
        indexes = [
            models.Index(fields=["consumer", "created_at"], name="invoice_by_consumer"),
            models.Index(fields=["number"], name="invoice_by_number"),  # support search
        ]

    def __str__(self) -> str:
        return self.number or self.stripe_invoice_id


class Payment(models.Model):
    """Money captured: one Stripe charge, and how much of it has been or may be given back."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "pay"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="payments")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="payments")
    stripe_charge_id = models.CharField(max_length=255, unique=True)
    stripe_payment_intent_id = models.CharField(max_length=255, blank=True)
    stripe_invoice_id = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=20)  # Stripe's word: succeeded, pending, failed
    failure_message = models.TextField(blank=True)
    currency = models.CharField(max_length=3)
    captured_minor = models.BigIntegerField()
    # Refunds that succeeded, are pending, or whose outcome is unknown; set by conditional update.
    refunded_minor = models.BigIntegerField(default=0)
    disputed = models.BooleanField(default=False)
    fee_minor = models.BigIntegerField(null=True)  # Stripe's, in fee_currency; None: not told yet
    fee_currency = models.CharField(max_length=3, blank=True)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        permissions = [("refund_payment", "Can refund a payment")]
        constraints = [
            # The last line of defence: never give back more than was taken.
            models.CheckConstraint(
                condition=Q(refunded_minor__gte=0) & Q(refunded_minor__lte=F("captured_minor")),
                name="payment_refunds_within_captured",
            ),
        ]
        indexes = [
            models.Index(fields=["consumer", "created_at"], name="payment_by_consumer"),
            models.Index(fields=["stripe_payment_intent_id"], name="payment_by_intent"),
            models.Index(fields=["project", "created_at"], name="payment_by_day"),  # revenue
        ]

    def __str__(self) -> str:
        return self.stripe_charge_id


class RefundStatus(models.TextChoices):
    WANTED = "wanted"  # our intent; Stripe has not confirmed it
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


# A refund in one of these holds its amount against the payment.
HOLDING = (
    RefundStatus.WANTED,
    RefundStatus.PENDING,
    RefundStatus.REQUIRES_ACTION,
    RefundStatus.SUCCEEDED,
)


class Refund(models.Model):
    """Money given back. Made by us it has an operation; made at Stripe it has none."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "rfd"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="refund"
    )  # None: made at Stripe
    stripe_refund_id = models.CharField(max_length=255, blank=True)  # "": not confirmed yet
    status = models.CharField(max_length=20, choices=RefundStatus)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now)
    synced_at = models.DateTimeField(null=True)  # None: Stripe was not asked yet

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stripe_refund_id"],
                condition=~Q(stripe_refund_id=""),
                name="refund_once_per_stripe_refund",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_is_positive"),
            models.CheckConstraint(
                condition=Q(status__in=RefundStatus.values), name="refund_status_is_known"
            ),
        ]
        indexes = [models.Index(fields=["project", "created_at"], name="refund_by_day")]

    def __str__(self) -> str:
        return self.stripe_refund_id or self.public_id


class PurchaseState(models.TextChoices):
    PAID = "paid"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"


class Purchase(models.Model):
    """A one-off sale: what a completed Checkout session in payment mode bought."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "pur"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="purchases")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="purchases")
    checkout = models.OneToOneField(Checkout, models.PROTECT, related_name="purchase")
    price = models.ForeignKey(Price, models.PROTECT, related_name="purchases")
    stripe_payment_intent_id = models.CharField(max_length=255, blank=True)  # "": cost nothing
    quantity = models.PositiveIntegerField(default=1)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=20, choices=PurchaseState, default=PurchaseState.PAID)
    # Staff ended what it opened although only a part was given back. None: access follows the money
    access_ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=PurchaseState.values), name="purchase_state_is_known"
            ),
        ]
        indexes = [models.Index(fields=["stripe_payment_intent_id"], name="purchase_by_intent")]

    def __str__(self) -> str:
        return self.public_id
