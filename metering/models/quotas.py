"""What is left of a limit, and what is kept back or was bought on top."""

from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from entitlements.models import Enforcement
from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.columns import quantity_field, sum_field
from metering.models.meters import Meter


class QuotaBalance(models.Model):
    """One consumer's limit of one meter in [period_start, period_end): used, kept back, paid.

    The row is made and locked by whatever consumes; `limit` and `enforcement` are those of the
    last use. Of `used`, `from_credits` was paid from credits and does not count against `limit`.
    """

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, related_name="quota_balances", db_index=False
    )
    meter = models.ForeignKey(Meter, models.PROTECT, related_name="quota_balances", db_index=False)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField(null=True)  # None: never starts anew
    limit = quantity_field(null=True)  # None: unlimited
    enforcement = models.CharField(max_length=4, choices=Enforcement)
    used = sum_field(default=0)
    reserved = sum_field(default=0)
    from_credits = sum_field(default=0)
    latest_at = models.DateTimeField(null=True)  # of the value that a meter of kind latest shows
    next_warning = quantity_field(null=True)  # told when `used` reaches it; None: nothing to tell
    warn_due = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "meter", "period_start"], name="balance_once_per_period"
            ),
            models.CheckConstraint(condition=Q(used__gte=0), name="balance_used_not_negative"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0), name="balance_reserved_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(from_credits__gte=0), name="balance_credits_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(period_end=None) | Q(period_end__gt=F("period_start")),
                name="balance_period_ends_after_it_starts",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(warn_due=True), name="balance_warning_due"),
            models.Index(fields=["meter", "period_start"], name="balance_by_meter"),
        ]

    def __str__(self) -> str:
        return f"{self.used} of {self.limit}"


class QuotaUnique(models.Model):
    """A value that was counted against a limit in this period: it is not counted twice."""

    id = models.BigAutoField(primary_key=True)
    balance = models.ForeignKey(
        QuotaBalance, models.CASCADE, related_name="unique_values", db_index=False
    )
    value = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["balance", "value"], name="value_once_per_balance"),
        ]

    def __str__(self) -> str:
        return self.value


class ReservationState(models.TextChoices):
    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class Reservation(models.Model):
    """A part of a quota kept for a use that is not over: settled, released, or expired."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "res"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    balance = models.ForeignKey(QuotaBalance, models.PROTECT, related_name="reservations")
    quantity = quantity_field()
    from_credits = quantity_field(default=0)
    state = models.CharField(max_length=10, choices=ReservationState, default=ReservationState.HELD)
    expires_at = models.DateTimeField()
    settled_quantity = quantity_field(null=True)  # None: not settled
    event = models.UUIDField(null=True)  # the use that settled it
    created_at = models.DateTimeField(default=now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="reservation_is_positive"),
            models.CheckConstraint(
                condition=Q(state__in=ReservationState.values), name="reservation_state_is_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(state="held"), name="reservation_held_by_expiry"
            ),
            models.Index(
                fields=["balance", "expires_at"],
                condition=Q(state="held"),
                name="reservation_held_by_balance",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class QuotaNotice(models.Model):
    """A threshold of which was told: once per period."""

    balance = models.ForeignKey(QuotaBalance, models.CASCADE, related_name="notices")
    threshold = models.PositiveSmallIntegerField()  # percent of the limit
    limit = quantity_field()
    told_at = models.DateTimeField()
    mailed_at = models.DateTimeField(null=True)  # None: the mail is still to be sent

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["balance", "threshold"], name="notice_once_per_period"),
        ]
        indexes = [
            models.Index(fields=["told_at"], condition=Q(mailed_at=None), name="notice_to_mail"),
        ]

    def __str__(self) -> str:
        return f"{self.threshold} % of {self.balance_id}"
