"""What Stripe told us: verified events, kept, and worked through exactly once."""

from django.db import models
from django.db.models import Q
from django.utils.timezone import now


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
    deliveries = models.PositiveIntegerField(default=1)
    lease_until = models.DateTimeField(null=True, blank=True)  # in the future: being worked on
    next_attempt_at = models.DateTimeField(default=now)
    last_error = models.TextField(blank=True)
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
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"
