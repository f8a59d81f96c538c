"""What a consumer was promised about subscriptions: trials, own prices, changes to come."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.catalog import Price
from billing.models.checkout import Checkout
from billing.models.operations import Operation
from billing.models.projections import Subscription
from entitlements.models import Plan
from keystore.ids import new_id
from keystore.models import Consumer, Project


class TrialUse(models.Model):
    """A consumer's one trial of a plan: promised with a checkout, used when it began."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="trial_uses")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="trial_uses")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="trial_uses")
    # None: it began without a checkout of ours, for example at Stripe.
    checkout = models.ForeignKey(Checkout, models.PROTECT, null=True, related_name="trial_uses")
    began_at = models.DateTimeField(null=True)  # None: promised, and the checkout may still lapse
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["consumer", "plan"], name="trial_once_per_plan"),
        ]

    def __str__(self) -> str:
        return f"trial of {self.plan}"


class PriceOverride(models.Model):
    """A price that was agreed with one consumer in place of a price of the catalogue."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "ovr"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="price_overrides")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="price_overrides")
    price = models.ForeignKey(Price, models.PROTECT, related_name="overrides")  # the catalogue's
    amount_minor = models.BigIntegerField()
    operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="price_override"
    )
    # None until Stripe has made it.
    made = models.OneToOneField(Price, models.PROTECT, null=True, related_name="made_for")
    problem = models.TextField(blank=True)  # why Stripe refused it
    created_by = models.CharField(max_length=255)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    ended_at = models.DateTimeField(null=True)  # set: not sold any more; what was bought stays

    class Meta:
        permissions = [("agree_price", "Can agree on a price with a consumer")]
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "price"],
                condition=Q(ended_at=None),
                name="override_once_per_price",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="override_not_negative"),
        ]

    def __str__(self) -> str:
        return self.public_id


class ScheduleState(models.TextChoices):
    WAITING = "waiting"
    SENT = "sent"  # its operation is on its way
    DONE = "done"
    FAILED = "failed"  # it could not be paid or made: the old plan stays
    WITHDRAWN = "withdrawn"


SCHEDULED = (ScheduleState.WAITING, ScheduleState.SENT)


class ScheduledChange(models.Model):
    """A change to another price, or the end of a pause, that is to happen at an instant to come."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "sch"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="scheduled_changes")
    subscription = models.ForeignKey(Subscription, models.PROTECT, related_name="scheduled_changes")
    # None: it goes on as it is, after a pause.
    price = models.ForeignKey(Price, models.PROTECT, null=True, related_name="scheduled_changes")
    quantity = models.PositiveIntegerField(null=True)  # None: as many as before
    at_period_end = models.BooleanField()  # False: at `due_at`, with the rest settled then
    due_at = models.DateTimeField()
    state = models.CharField(
        max_length=10, choices=ScheduleState, default=ScheduleState.WAITING, editable=False
    )
    operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="scheduled_change"
    )
    next_look_at = models.DateTimeField()
    problem = models.TextField(blank=True)
    actor = models.CharField(max_length=255)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(state__in=["waiting", "sent"]),
                name="schedule_once_per_subscription",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ScheduleState.values), name="schedule_state_is_known"
            ),
        ]
        indexes = [
            # The sweeper's claim.
            models.Index(
                fields=["next_look_at"],
                condition=Q(state__in=["waiting", "sent"]),
                name="schedule_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id
