"""Coupons, the codes that stand for them, and who redeemed one."""

from decimal import Decimal
from functools import partial

from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.timezone import now

from billing.models.operations import Operation
from billing.money import shown
from keystore.ids import new_id
from keystore.models import Consumer, Project


class CouponDuration(models.TextChoices):
    ONCE = "once"
    REPEATING = "repeating"  # for `duration_in_months`
    FOREVER = "forever"


class Coupon(models.Model):
    """What is taken off a price. At Stripe its terms never change: other terms, another coupon."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "cpn"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="coupons")
    code = models.CharField(max_length=50)  # its name in the catalogue, not what buyers type
    name = models.CharField(max_length=40, blank=True)  # on invoices
    stripe_coupon_id = models.CharField(max_length=255, unique=True)
    # One of the two.
    percent_off = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    amount_off_minor = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)  # of the amount
    duration = models.CharField(max_length=10, choices=CouponDuration, default=CouponDuration.ONCE)
    duration_in_months = models.PositiveSmallIntegerField(null=True, blank=True)
    max_redemptions = models.PositiveIntegerField(null=True, blank=True)  # None: any number
    redeem_by = models.DateTimeField(null=True, blank=True)
    plans = models.JSONField(default=list, blank=True)  # codes of plans; []: of all
    times_redeemed = models.PositiveIntegerField(default=0, editable=False)  # as Stripe counts
    # False: not made yet, refused, withdrawn or used up.
    active = models.BooleanField(default=False, editable=False)
    operation = models.ForeignKey(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )
    problem = models.TextField(blank=True, editable=False)  # why Stripe refused it
    created_by = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)
    synced_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        permissions = [("offer_coupon", "Can offer and withdraw coupons and promotion codes")]
        constraints = [
            models.UniqueConstraint(fields=["project", "code"], name="coupon_once_per_code"),
            models.CheckConstraint(
                condition=Q(percent_off__isnull=False, amount_off_minor=None, currency="")
                | Q(percent_off=None, amount_off_minor__gt=0, currency__regex=r"^[a-z]{3}$"),
                name="coupon_is_percent_or_amount",
            ),
            models.CheckConstraint(
                condition=Q(percent_off=None) | Q(percent_off__gt=0, percent_off__lte=100),
                name="coupon_percent_in_range",
            ),
            models.CheckConstraint(
                condition=Q(duration__in=CouponDuration.values), name="coupon_duration_is_known"
            ),
            models.CheckConstraint(
                condition=Q(duration="repeating", duration_in_months__gt=0)
                | ~Q(duration="repeating") & Q(duration_in_months=None),
                name="coupon_months_only_if_repeating",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.code

    @property
    def off(self) -> str:
        """ "20 %" or "5.00 USD"."""
        return off_text(self.percent_off, self.amount_off_minor, self.currency)

    @property
    def length(self) -> str:
        if self.duration == CouponDuration.REPEATING:
            return f"for {self.duration_in_months} months"
        return "once" if self.duration == CouponDuration.ONCE else "for ever"


def off_text(percent: Decimal | None, amount_minor: int | None, currency: str) -> str:
    if percent is not None:
        exact = Decimal(percent).normalize()
        return f"{exact:f} %"
    return shown(amount_minor or 0, currency)


class PromotionCode(models.Model):
    """What a buyer types to get a coupon, and who may."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "prm"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="promotion_codes")
    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="codes")
    code = models.CharField(max_length=50)
    stripe_promotion_code_id = models.CharField(max_length=255, blank=True, editable=False)
    first_time = models.BooleanField(default=False)  # only for those who never paid
    minimum_minor = models.BigIntegerField(null=True, blank=True)
    minimum_currency = models.CharField(max_length=3, blank=True)
    # None: for everybody.
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, null=True, blank=True, related_name="promotion_codes"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    max_redemptions = models.PositiveIntegerField(null=True, blank=True)
    times_redeemed = models.PositiveIntegerField(default=0, editable=False)
    active = models.BooleanField(default=False, editable=False)
    operation = models.ForeignKey(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )
    problem = models.TextField(blank=True, editable=False)
    created_by = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)
    synced_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Upper("code"),
                "project",
                condition=Q(withdrawn_at=None, problem=""),
                name="promotion_code_once_while_on_offer",
            ),
            models.UniqueConstraint(
                fields=["stripe_promotion_code_id"],
                condition=~Q(stripe_promotion_code_id=""),
                name="promotion_code_once_at_stripe",
            ),
            models.CheckConstraint(
                condition=Q(minimum_minor=None, minimum_currency="")
                | Q(minimum_minor__gt=0, minimum_currency__regex=r"^[a-z]{3}$"),
                name="promotion_code_minimum_has_currency",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Redemption(models.Model):
    """A discount that a consumer has, or had, by a coupon of ours."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="redemptions")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="redemptions")
    coupon = models.ForeignKey(Coupon, models.PROTECT, related_name="redemptions")
    promotion_code = models.ForeignKey(
        PromotionCode, models.PROTECT, null=True, related_name="redemptions"
    )  # None: given by staff
    stripe_discount_id = models.CharField(max_length=255, unique=True)
    stripe_subscription_id = models.CharField(max_length=255)
    began_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)  # None: once, or for ever
    gone_at = models.DateTimeField(null=True)  # seen to be used up, ended or taken away

    class Meta:
        indexes = [models.Index(fields=["coupon", "-began_at"], name="redemption_by_coupon")]

    def __str__(self) -> str:
        return self.stripe_discount_id
