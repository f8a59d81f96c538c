"""What usage adds up to, by hour and by day: made from the events and never more than that."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import MD5, Cast

from keystore.models import Api, ApiKey, Consumer, Project
from metering.columns import TransactionId, quantity_field, sum_field
from metering.models.meters import Meter


class Grain(models.TextChoices):
    HOUR = "hour"
    DAY = "day"


class UsageTotal(models.Model):
    """One bucket of one consumer's usage. All four figures are kept; the meter's kind picks one."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(
        Project, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(
        Meter, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    api = models.ForeignKey(
        Api, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    dims = models.JSONField(default=dict)  # the meter's dimensions and their values
    grain = models.CharField(max_length=4, choices=Grain)
    bucket = models.DateTimeField()  # its start, in UTC
    quantity = sum_field(default=0)
    events = models.BigIntegerField(default=0)  # a voided one is taken off again
    maximum = quantity_field(null=True)  # None: every event of the bucket was voided
    latest = quantity_field(null=True)
    latest_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                # Dimensions may be longer than what an index can hold.
                *("consumer", "meter", "grain", "bucket", "api", "key"),
                MD5(Cast("dims", models.TextField())),
                name="total_once_per_bucket",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(grain__in=Grain.values), name="total_grain_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "meter", "grain", "bucket"], name="total_by_bucket"),
            models.Index(
                fields=["key", "bucket"], condition=Q(key__isnull=False), name="total_by_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.bucket:%Y-%m-%d %H:%M} of {self.meter_id}"


class UsageDistinct(models.Model):
    """A value that a meter of kind unique saw in an hour: distinct counts cannot be added up."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(
        Project, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    meter = models.ForeignKey(
        Meter, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    api = models.ForeignKey(
        Api, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    key = models.ForeignKey(
        ApiKey, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    dims = models.JSONField(default=dict)
    bucket = models.DateTimeField()  # the start of the hour, in UTC
    value = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                *("consumer", "meter", "bucket", "value", "api", "key"),
                MD5(Cast("dims", models.TextField())),
                name="distinct_once_per_hour",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return self.value


class Watermark(models.Model):
    """How far a job came: every event written by a transaction before `xid` is counted."""

    name = models.CharField(max_length=50, primary_key=True)
    xid = TransactionId()
    moved_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} up to {self.xid}"
