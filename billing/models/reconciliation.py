"""Where our state and Stripe's were found to differ, and what was done about it."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Consumer, Project


class RunState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # Stripe's answer could not be trusted; nothing was changed
    STOPPED = "stopped"  # by staff


class RunMode(models.TextChoices):
    DRY_RUN = "dry_run"  # only finds
    REPAIR = "repair"  # repairs what it finds, of the kinds that `repair_kinds` names


class ReconciliationRun(models.Model):
    """One comparison of everything that Stripe has with everything that we have."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "rec"))
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="reconciliations"
    )  # None: all projects
    mode = models.CharField(max_length=10, choices=RunMode, default=RunMode.DRY_RUN)
    repair_kinds = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    days_back = models.PositiveIntegerField(null=True, blank=True)  # for money; None: all of it
    state = models.CharField(
        max_length=10, choices=RunState, default=RunState.WAITING, editable=False
    )
    step = models.CharField(max_length=60, blank=True, editable=False)  # what it is doing now
    cursor = models.CharField(max_length=255, blank=True, editable=False)  # where a crash resumes
    compared = models.PositiveIntegerField(default=0, editable=False)
    expected = models.PositiveIntegerField(default=0, editable=False)  # 0: not known yet
    found = models.PositiveIntegerField(default=0, editable=False)
    repaired = models.PositiveIntegerField(default=0, editable=False)
    problem = models.TextField(blank=True, editable=False)
    started_by = models.CharField(max_length=255)  # "staff:sam", "app:app_...", "system"
    request_id = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when Stripe answers nothing that helps; None: all is well.
    troubled_since = models.DateTimeField(null=True, blank=True, editable=False)
    # The UTC day whose nightly run this is, so that there is one; None: somebody started it.
    scheduled_on = models.DateField(null=True, blank=True, unique=True, editable=False)
    reported_at = models.DateTimeField(null=True, blank=True, editable=False)  # by e-mail
    created_at = models.DateTimeField(default=now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        permissions = [
            ("start_reconciliationrun", "Can start a reconciliation"),
            ("repair_drift", "Can repair a difference with Stripe"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=RunState.values), name="run_state_is_known"
            ),
            models.CheckConstraint(condition=Q(mode__in=RunMode.values), name="run_mode_is_known"),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(state__in=["waiting", "running"]), name="run_unfinished"
            ),
            models.Index(fields=["-created_at"], name="run_newest_first"),
        ]

    def __str__(self) -> str:
        return self.public_id


class DriftState(models.TextChoices):
    OPEN = "open"
    REPAIRED = "repaired"
    GONE = "gone"  # a later look found no difference any more
    IGNORED = "ignored"  # staff decided that it may stay
    FAILED = "failed"  # the repair did not remove it


class Drift(models.Model):
    """One field in which we and Stripe differ (or two tables of ours do)."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "drift"))
    run = models.ForeignKey(ReconciliationRun, models.PROTECT, related_name="drifts")
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="drifts")
    consumer = models.ForeignKey(Consumer, models.PROTECT, null=True, related_name="drifts")
    kind = models.CharField(max_length=40)  # "subscription_missing", "status_differs", ...
    object_id = models.CharField(max_length=255)  # of Stripe's or of ours
    stripe_customer_id = models.CharField(max_length=255, blank=True)  # whose sync repairs it
    field = models.CharField(max_length=60, blank=True)
    ours = models.TextField(blank=True)
    stripes = models.TextField(blank=True)
    cause = models.TextField(blank=True)  # our guess, in words
    state = models.CharField(
        max_length=10, choices=DriftState, default=DriftState.OPEN, editable=False
    )
    note = models.TextField(blank=True, editable=False)
    # Whoever wants it repaired; the work is done by the queue. None: nobody does yet.
    repair_wanted_at = models.DateTimeField(null=True, blank=True, editable=False)
    repair_wanted_by = models.CharField(max_length=255, blank=True, editable=False)
    repair_reason = models.TextField(blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    settled_by = models.CharField(max_length=255, blank=True, editable=False)
    settled_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=DriftState.values), name="drift_state_is_known"
            ),
            # A difference that stays is one open row, however often it is found.
            models.UniqueConstraint(
                fields=["kind", "object_id", "field"],
                condition=Q(state="open"),
                name="drift_open_once",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "kind"], name="drift_by_run"),
            models.Index(fields=["consumer"], name="drift_by_consumer"),
            models.Index(
                fields=["id"],
                condition=Q(state="open", repair_wanted_at__isnull=False),
                name="drift_to_repair",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"


class ListedObject(models.Model):
    """What Stripe's lists said of one object, kept for as long as a comparison needs it.

    Plain numbers instead of foreign keys: a run writes hundreds of thousands and drops them.
    """

    batch = models.CharField(max_length=80)  # the run's public id, or the repair that looks again
    kind = models.CharField(max_length=20)  # customer, subscription, charge, refund, dispute, ...
    stripe_id = models.CharField(max_length=255)
    stripe_customer_id = models.CharField(max_length=255, blank=True)
    # The charge of a refund or dispute; our checkout that made a subscription.
    parent_id = models.CharField(max_length=255, blank=True)
    project_id = models.BigIntegerField(null=True)  # None: belongs to nobody here
    consumer_id = models.BigIntegerField(null=True)
    status = models.CharField(max_length=30, blank=True)
    price_ids = ArrayField(models.CharField(max_length=255), default=list)
    quantity = models.IntegerField(null=True)
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    cancel_at = models.DateTimeField(null=True)
    trial_end = models.DateTimeField(null=True)
    paused = models.BooleanField(null=True)  # None: no subscription
    paid_until = models.DateTimeField(null=True)
    amount_minor = models.BigIntegerField(null=True)  # captured, refunded or invoiced
    other_minor = models.BigIntegerField(null=True)  # given back of a charge, paid of an invoice
    gone = models.BooleanField(default=False)  # asked for by its id, and not there
    made_at = models.DateTimeField(null=True)
    listed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()  # no page shows it
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "kind", "stripe_id"], name="listed_once_per_batch"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.stripe_id}"
