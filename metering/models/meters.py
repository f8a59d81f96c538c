"""What is counted, and the periods in which it starts anew."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from entitlements.models import Feature
from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.columns import usual_thresholds


class Aggregation(models.TextChoices):
    SUM = "sum"
    COUNT = "count"
    MAX = "max"
    LATEST = "latest"
    UNIQUE = "unique"


class Interval(models.TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Meter(models.Model):
    """Something that is counted: a new kind of usage is a row, not code."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "meter"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="meters")
    code = models.SlugField(max_length=50)  # the `type` of its CloudEvents
    name = models.CharField(max_length=200, blank=True)
    unit = models.CharField(max_length=50, blank=True)
    aggregation = models.CharField(max_length=10, choices=Aggregation, default=Aggregation.SUM)
    # The property that holds the value; empty: the event's quantity. For `unique` the property
    # whose distinct values are counted.
    value_property = models.CharField(max_length=100, blank=True)
    # Whose limit its usage consumes. None: it is counted, never refused.
    feature = models.OneToOneField(
        Feature, models.PROTECT, null=True, blank=True, related_name="meter"
    )
    dimensions = models.JSONField(default=list, blank=True)  # names of properties to group by
    stripe_event_name = models.CharField(max_length=100, blank=True)  # empty: not reported
    thresholds = models.JSONField(default=usual_thresholds, blank=True)  # percent of the limit
    archived_at = models.DateTimeField(null=True, blank=True)  # set: takes no more events
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "code"], name="meter_once_per_project"),
            models.CheckConstraint(
                condition=Q(aggregation__in=Aggregation.values), name="meter_aggregation_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(aggregation=Aggregation.UNIQUE) | ~Q(value_property=""),
                name="meter_unique_of_a_property",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.code


class Cycle(models.Model):
    """When a consumer's billing periods start: every `interval_count` intervals from `anchor`.

    Handed down by whoever bills. A consumer without one has calendar months in UTC.
    """

    consumer = models.OneToOneField(Consumer, models.CASCADE, related_name="cycle")
    anchor = models.DateTimeField()
    interval = models.CharField(max_length=5, choices=Interval)
    interval_count = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(interval__in=Interval.values), name="cycle_interval_is_known"
            ),
            models.CheckConstraint(
                condition=Q(interval_count__gte=1), name="cycle_count_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"every {self.interval_count} {self.interval} from {self.anchor:%Y-%m-%d}"
