"""What was told to Stripe of the usage that we counted."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.models import Meter


class MeterLink(models.Model):
    """The meter at Stripe that one of ours is reported to."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="meter_links")
    meter = models.OneToOneField(Meter, models.PROTECT, related_name="stripe_link")
    stripe_meter_id = models.CharField(max_length=255, unique=True)
    event_name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=now, editable=False)

    def __str__(self) -> str:
        return self.stripe_meter_id


class ReportKind(models.TextChoices):
    EVENT = "event"  # adds usage
    CANCEL = "cancel"  # takes an earlier event back


class ReportState(models.TextChoices):
    WAITING = "waiting"  # committed, not sent yet
    SENT = "sent"  # being sent by whoever holds the lease
    UNKNOWN = "unknown"  # the reply was lost: only Stripe knows
    DONE = "done"
    CANCELLED = "cancelled"  # was done; Stripe took it back, or it was never to be sent
    FAILED = "failed"  # Stripe refused it, or what it says cannot be explained


# Sent, and perhaps arrived: the next one of the same meter and customer waits for it.
IN_FLIGHT = (ReportState.SENT, ReportState.UNKNOWN)
UNFINISHED = (ReportState.WAITING, *IN_FLIGHT)


class UsageReport(models.Model):
    """One meter event at Stripe: what one bucket of usage adds to what was told of it before.

    `counted` is that addition in the meter's own units, `quantity` the whole units that are sent.
    A fraction, or an amount below zero, stays over for the next report of the same customer.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "urep"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="usage_reports")
    meter = models.ForeignKey(Meter, models.PROTECT, related_name="usage_reports")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="usage_reports")
    bucket = models.DateTimeField()  # the start of the hour
    version = models.PositiveIntegerField()  # 1 for the first report of a bucket
    kind = models.CharField(max_length=6, choices=ReportKind, default=ReportKind.EVENT)
    # The event that is taken back. None: adds usage.
    cancels = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="cancellation"
    )
    identifier = models.CharField(max_length=100, unique=True)  # Stripe's, of the event
    counted = models.DecimalField(max_digits=38, decimal_places=12)
    quantity = models.BigIntegerField()
    state = models.CharField(
        max_length=10, choices=ReportState, default=ReportState.WAITING, editable=False
    )
    stripe_customer_id = models.CharField(max_length=255, blank=True, editable=False)
    # The instant under which Stripe counts it, chosen when it is sent first. None: not sent yet.
    stamped_at = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(default=now, editable=False)
    first_sent_at = models.DateTimeField(null=True, editable=False)
    settled_at = models.DateTimeField(null=True, editable=False)
    compared_at = models.DateTimeField(null=True, editable=False)  # and found the same at Stripe
    difference = models.TextField(blank=True, editable=False)  # what Stripe's summary says instead
    error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [("retry_usagereport", "Can send a refused usage report again")]
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "meter", "bucket", "version"], name="report_once_per_version"
            ),
            # Stripe takes one call at a time per customer and meter; and only so can a lost reply
            # be told from the summary.
            models.UniqueConstraint(
                fields=["consumer", "meter"],
                condition=Q(state__in=IN_FLIGHT),
                name="report_one_in_flight",
            ),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="report_not_negative"),
            models.CheckConstraint(
                condition=Q(state__in=ReportState.values), name="report_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=ReportKind.values), name="report_kind_is_known"
            ),
        ]
        indexes = [
            # The sender's claim.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=UNFINISHED),
                name="report_unfinished",
            ),
            # What is to be compared with Stripe's summary.
            models.Index(
                fields=["stamped_at"],
                condition=Q(state="done", compared_at=None),
                name="report_to_compare",
            ),
            models.Index(fields=["meter", "bucket"], name="report_by_bucket"),
            models.Index(fields=["id"], condition=Q(state="failed"), name="report_failed"),
        ]

    def __str__(self) -> str:
        return self.identifier
