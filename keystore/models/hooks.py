"""Outgoing hooks: what happened, whom it is told, and how the telling went.

They live on the ground floor because keys and grants tell too, in the transaction of their change.
"""

from functools import partial

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models.identity import Consumer, Project


class HookEndpoint(models.Model):
    """Where a project wants to be told. `kinds` empty: everything."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "hook"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="hook_endpoints")
    url = models.URLField(max_length=500)
    description = models.CharField(max_length=200, blank=True)
    kinds = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    sealed_secret = models.BinaryField(editable=False)
    # While a secret rolls, both sign.
    sealed_previous_secret = models.BinaryField(editable=False, default=bytes)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_because = models.TextField(blank=True, editable=False)
    # When staff are next mailed that it was switched off; null: there is nothing to tell.
    tell_staff_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    # An endpoint that keeps failing is tried less often until one delivery gets through.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    held_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [("roll_hookendpoint", "Can roll the secret of a hook endpoint")]
        constraints = [
            models.UniqueConstraint(fields=["project", "url"], name="hook_once_per_url"),
        ]

    def __str__(self) -> str:
        return self.url


class OutboxMessage(models.Model):
    """One thing that happened, written in the transaction in which it happened.

    `public_id` is the `webhook-id` that receivers dedupe by.
    """

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "msg"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    consumer = models.ForeignKey(Consumer, models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=60)  # "entitlements.changed"
    data = models.JSONField()
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        indexes = [
            models.Index(fields=["consumer", "-created_at"], name="message_by_consumer"),
            models.Index(fields=["-created_at"], name="message_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up after the last try
    DROPPED = "dropped"  # its endpoint was switched off


class HookDelivery(models.Model):
    """One message on its way to one endpoint."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "dlv"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    message = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(HookEndpoint, models.CASCADE, related_name="deliveries")
    state = models.CharField(
        max_length=10, choices=DeliveryState, default=DeliveryState.PENDING, editable=False
    )
    attempts = models.PositiveIntegerField(default=0, editable=False)
    next_attempt_at = models.DateTimeField(default=now, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "hook deliveries"
        permissions = [("redeliver_hookdelivery", "Can deliver a hook again")]
        constraints = [
            models.UniqueConstraint(
                fields=["message", "endpoint"], name="delivery_once_per_message_and_endpoint"
            ),
            models.CheckConstraint(
                condition=Q(state__in=DeliveryState.values), name="delivery_state_is_known"
            ),
        ]
        indexes = [
            # The worker's claim, per endpoint so that a slow one does not delay the others.
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                condition=Q(state="pending"),
                name="delivery_pending",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def consumer(self) -> Consumer | None:
        """Whom the message is about."""
        return self.message.consumer


class HookAttempt(models.Model):
    """One try of a delivery, kept for whoever asks why it did not arrive."""

    delivery = models.ForeignKey(HookDelivery, models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)  # None: no answer
    milliseconds = models.PositiveIntegerField()
    error = models.TextField(blank=True)
    answer = models.TextField(blank=True)  # its first characters
    created_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"try {self.number} of {self.delivery_id}"
