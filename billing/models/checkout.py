"""A buyer's way to pay: the intent behind one Stripe Checkout session."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.catalog import Price
from billing.models.discounts import PromotionCode
from billing.models.operations import Operation
from entitlements.models import Plan
from keystore.ids import new_id
from keystore.models import Consumer, Project


class CheckoutMode(models.TextChoices):
    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"


class CheckoutState(models.TextChoices):
    PENDING = "pending"  # Stripe has not made the session yet
    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"
    FAILED = "failed"  # Stripe refused to make it


class Checkout(models.Model):
    """One wish to buy one price. `stripe_session_id` is empty until Stripe made the session."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "chk"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="checkouts")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="checkouts")
    price = models.ForeignKey(Price, models.PROTECT, related_name="checkouts")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="checkouts")  # the price's
    # True for subscriptions of which a consumer may have only one.
    guarded = models.BooleanField(default=False, editable=False)
    operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="checkout"
    )  # None only between the two inserts of one transaction
    mode = models.CharField(max_length=12, choices=CheckoutMode)
    quantity = models.PositiveIntegerField(default=1)
    trial_days = models.PositiveSmallIntegerField(default=0, editable=False)
    # What the app named for the buyer; None: none, or what they type on Stripe's page.
    promotion_code = models.ForeignKey(
        PromotionCode, models.PROTECT, null=True, related_name="checkouts", editable=False
    )
    # "": paid on Stripe's page; else made at once, charged to this saved payment method.
    stripe_payment_method_id = models.CharField(max_length=255, blank=True, editable=False)
    success_url = models.TextField(blank=True)  # "": Latchkey's own return page
    cancel_url = models.TextField(blank=True)
    state = models.CharField(
        max_length=10, choices=CheckoutState, default=CheckoutState.PENDING, editable=False
    )
    stripe_session_id = models.CharField(max_length=255, blank=True, editable=False)
    session_url = models.TextField(blank=True, editable=False)
    stripe_subscription_id = models.CharField(max_length=255, blank=True, editable=False)
    stripe_payment_intent_id = models.CharField(max_length=255, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False)  # why it failed or was undone
    created_at = models.DateTimeField(default=now, editable=False)
    next_look_at = models.DateTimeField(default=now, editable=False)  # by the sweeper
    completed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stripe_session_id"],
                condition=~Q(stripe_session_id=""),
                name="checkout_once_per_session",
            ),
            # Two tabs cannot both hold an open way to pay for the same subscription.
            models.UniqueConstraint(
                fields=["consumer", "plan"],
                condition=Q(guarded=True, state__in=["pending", "open"]),
                name="checkout_once_per_plan",
            ),
            models.CheckConstraint(
                condition=Q(state__in=CheckoutState.values), name="checkout_state_is_known"
            ),
        ]
        indexes = [
            # The sweeper looks at those whose end nobody told us.
            models.Index(
                fields=["next_look_at"],
                condition=Q(state__in=["pending", "open"]),
                name="checkout_unfinished",
            ),
            models.Index(fields=["consumer"], name="checkout_by_consumer"),
        ]

    def __str__(self) -> str:
        return self.public_id
