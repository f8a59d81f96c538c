"""What was used, as it was told: rows are only added."""

from django.db import models
from django.utils.timezone import now

from keystore.models import Api, ApiKey, Consumer, Project
from metering.columns import CurrentTransaction, TransactionId, quantity_field
from metering.models.meters import Meter


class UsageEvent(models.Model):
    """One use. `id` is a UUID version 7 made of `received_at`, so rows of a month lie together.

    The table is partitioned by `id`, one partition a month of receipt. References carry no
    database constraint: consumers, meters and keys are never deleted, and a check of five of them
    would cost more than the row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    project = models.ForeignKey(
        Project, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(
        Meter, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    api = models.ForeignKey(
        Api, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    source = models.CharField(max_length=255, blank=True)
    event_id = models.CharField(max_length=255)
    quantity = quantity_field()  # negative only where `voids`
    unique_value = models.CharField(max_length=255, blank=True)  # for meters of kind unique
    occurred_at = models.DateTimeField()
    # Under which instant it is totalled and billed: when it occurred, or when it was received if
    # that period was closed by then (an adjustment).
    counts_at = models.DateTimeField()
    received_at = models.DateTimeField()
    properties = models.JSONField(default=dict)
    corrects = models.UUIDField(null=True)  # set: it voids or replaces that event
    voids = models.BooleanField(default=False)  # takes back what `corrects` counted
    from_credits = quantity_field(default=0)  # how much of it was paid from credits
    xid = TransactionId(db_default=CurrentTransaction())  # what the roll-up's fence compares

    class Meta:
        indexes = [
            models.Index(fields=["xid"], name="event_by_transaction"),
            models.Index(
                fields=["consumer", "meter", "counts_at"], name="event_by_consumer_and_meter"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.meter_id} ({self.event_id})"


class UsageKey(models.Model):
    """An event's name, taken for ever: written in the transaction of the event itself.

    Kept apart from the events because those are partitioned and, once reported, may go.
    """

    project = models.ForeignKey(
        Project, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    source = models.CharField(max_length=255, blank=True, db_collation="C")
    # Compared as bytes: ids that grow with time then fill the index from the right.
    event_id = models.CharField(max_length=255, db_collation="C")
    fingerprint = models.BinaryField(max_length=16)  # of what was told; tells a conflict
    event = models.UUIDField()
    voided_by = models.UUIDField(null=True)  # the counter-event
    received_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "source", "event_id"], name="event_once_for_ever"
            ),
        ]

    def __str__(self) -> str:
        return self.event_id


class UsageRejection(models.Model):
    """Why an event was not taken, for whoever looks for it. Forgotten after 35 days."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    source = models.CharField(max_length=255, blank=True)
    event_id = models.CharField(max_length=255)
    code = models.CharField(max_length=50)
    detail = models.TextField()
    rejected_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "source", "event_id"], name="rejection_once_per_event"
            ),
        ]
        indexes = [models.Index(fields=["rejected_at"], name="rejection_by_age")]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.code}"
