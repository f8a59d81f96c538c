"""What Stripe told us: verified events, kept, and worked through exactly once."""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Project

LONGEST_CORRELATION = 64


class InboxState(models.TextChoices):
    PENDING = "pending"  # waiting for its first or next try
    DONE = "done"
    IGNORED = "ignored"  # nothing to do; `note` says why
    PARKED = "parked"  # failed too often; people look at it and replay it


class InboxEvent(models.Model):
    """One verified Stripe event. It says only that something changed; Stripe is asked what."""

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    livemode = models.BooleanField(null=True)  # None: the event did not say
    account = models.CharField(max_length=255, blank=True)  # set on Connect events
    stripe_created_at = models.DateTimeField(null=True)  # None: the event did not say
    object_id = models.CharField(max_length=255, blank=True)
    stripe_customer_id = models.CharField(max_length=255, blank=True)  # whose lock; "" if unknown
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=InboxState, default=InboxState.PENDING)
    note = models.TextField(blank=True)  # why ignored, or what it led to
    attempts = models.PositiveIntegerField(default=0)
    deliveries = models.PositiveIntegerField(default=1)  # 0: found in Stripe's own list only
    lease_until = models.DateTimeField(null=True, blank=True)  # in the future: being worked on
    next_attempt_at = models.DateTimeField(default=now)
    last_error = models.TextField(blank=True)
    failure = models.CharField(max_length=200, blank=True)  # last_error without ids: its kind
    request_id = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField(default=now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [("replay_inboxevent", "Can replay an inbox event")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=InboxState.values), name="inbox_state_is_known"
            ),
        ]
        indexes = [
            # The worker's claim and the sweeper.
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="pending"), name="inbox_pending"
            ),
            # All pending events of one customer are worked off by one sync.
            models.Index(
                fields=["stripe_customer_id"],
                condition=Q(state="pending"),
                name="inbox_pending_by_customer",
            ),
            models.Index(fields=["-received_at"], name="inbox_newest_first"),
            # A customer's history, newest first.
            models.Index(fields=["stripe_customer_id", "-received_at"], name="inbox_by_customer"),
            # What people have to look at.
            models.Index(
                fields=["type", "failure"], condition=Q(state="parked"), name="inbox_parked"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"

    @property
    def correlation_id(self) -> str:
        """What joins the event with its effects: audit entries, calls to Stripe, hooks."""
        return self.request_id or self.event_id[:LONGEST_CORRELATION]


class InboxAttempt(models.Model):
    """One try to work an event off, kept for whoever asks what happened. Replays add to it."""

    event = models.ForeignKey(InboxEvent, models.CASCADE, related_name="tries")
    outcome = models.CharField(max_length=10, choices=InboxState)  # pending: to be tried again
    said = models.TextField(blank=True)  # what it led to, or why it failed
    request_id = models.CharField(max_length=64, blank=True)  # joins it to its effects
    at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=InboxState.values), name="attempt_outcome_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at:%Y-%m-%d %H:%M:%S}"


class ReplayState(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # by staff


class ReplayRun(models.Model):
    """Events of a range to be replayed, or only looked at, bit by bit; a crash resumes it."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "rpl"))
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="+"
    )  # None: all projects
    type = models.CharField(max_length=100, blank=True)  # "": every type
    event_state = models.CharField(max_length=10, blank=True)  # "": every state
    failure = models.CharField(max_length=200, blank=True)
    event_ids = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    since = models.DateTimeField(null=True, blank=True)  # of receipt; None: from the first on
    until = models.DateTimeField()  # later events are not touched
    dry_run = models.BooleanField(default=False)
    state = models.CharField(
        max_length=10, choices=ReplayState, default=ReplayState.RUNNING, editable=False
    )
    cursor = models.BigIntegerField(default=0, editable=False)  # the last event that was handled
    total = models.PositiveIntegerField(default=0, editable=False)
    handled = models.PositiveIntegerField(default=0, editable=False)
    refused = models.PositiveIntegerField(default=0, editable=False)
    changing = models.PositiveIntegerField(
        default=0, editable=False
    )  # dry run: events with changes
    # [{"event_id": ..., "said": [...]}], of the first ones
    report = models.JSONField(default=list, editable=False)
    started_by = models.CharField(max_length=255)  # "staff:sam"
    reason = models.TextField()
    request_id = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "replay"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ReplayState.values), name="replay_state_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state="running"), name="replay_running"),
        ]

    def __str__(self) -> str:
        return self.public_id
