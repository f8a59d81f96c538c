"""What is for sale: prices that open plans, and each project's billing policy."""

from functools import partial

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from entitlements.models import Plan
from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.models import Meter


class PriceKind(models.TextChoices):
    RECURRING = "recurring"
    ONE_OFF = "one_off"
    METERED = "metered"


class TaxMode(models.TextChoices):
    OFF = "off"
    AUTOMATIC = "automatic"  # Stripe Tax counts it, by where the customer is


class TaxBehavior(models.TextChoices):
    """Whether a price has its tax in it. "": as the Stripe account says."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class BillingPolicy(models.Model):
    """How one project bills."""

    project = models.OneToOneField(Project, models.PROTECT, related_name="billing_policy")
    # An unpaid renewal keeps its access for so long, counted from the period it should pay.
    grace_days = models.PositiveSmallIntegerField(default=7)
    # A refund that a second person must agree to lapses when nobody did for so long.
    refund_approval_hours = models.PositiveSmallIntegerField(
        default=72, validators=[MinValueValidator(1)]
    )

    # For what begins from now on; what runs already takes it over with its next change.
    tax = models.CharField(max_length=10, choices=TaxMode, default=TaxMode.OFF)
    # Of those whose own is not known. "": that of the newest price of a plan.
    currency = models.CharField(
        max_length=3, blank=True, validators=[RegexValidator(r"^[a-z]{3}\Z", "Such as eur.")]
    )
    # Whether buyers may type a code on Stripe's page when the app names none.
    takes_codes = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "billing policies"
        constraints = [
            models.CheckConstraint(condition=Q(tax__in=TaxMode.values), name="policy_tax_is_known"),
        ]

    def __str__(self) -> str:
        return f"billing policy of {self.project}"


class Price(models.Model):
    """A Stripe price and the plan that it opens."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "pri"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="prices")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="prices")
    stripe_price_id = models.CharField(max_length=255, unique=True)
    stripe_product_id = models.CharField(max_length=255, blank=True)
    kind = models.CharField(max_length=10, choices=PriceKind, default=PriceKind.RECURRING)
    # Of a metered price the whole part of what a unit costs; `usage_terms` says it exactly.
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=5, blank=True)  # day, week, month, year; "" for one-off
    interval_count = models.PositiveSmallIntegerField(default=1)
    # None: not metered, or its meter at Stripe is none of ours.
    meter = models.ForeignKey(Meter, models.PROTECT, null=True, blank=True, related_name="prices")
    usage_terms = models.JSONField(default=dict, blank=True)  # {} for a price that is not metered
    active = models.BooleanField(default=True)  # False: archived at Stripe, not sold any more
    tax_behavior = models.CharField(max_length=9, choices=TaxBehavior, blank=True)
    # Days for nothing before the first period is paid, once per consumer and plan.
    trial_days = models.PositiveSmallIntegerField(default=0)
    # Agreed with one consumer, and sold to nobody else. None: the catalogue's.
    only_for = models.ForeignKey(
        Consumer, models.PROTECT, null=True, blank=True, related_name="own_prices"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=PriceKind.values), name="price_kind_known"),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="price_not_negative"),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[a-z]{3}$"), name="price_currency_is_iso"
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_price_id
