"""What the service watches about itself: promises that must hold, and how far Stripe was read."""

from django.db import models


class InvariantCheck(models.Model):
    """The latest look at one promise. `code` names the check in `billing.invariants`."""

    code = models.SlugField(max_length=60, unique=True)
    violations = models.PositiveIntegerField(default=0)
    examples = models.JSONField(default=list)  # [{"object": ..., "detail": ..., "url": ...}]
    failing_since = models.DateTimeField(null=True, blank=True)  # None: it holds
    told_at = models.DateTimeField(null=True, blank=True)  # when people were mailed that it fails
    checked_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "promise"
        permissions = [("run_invariantcheck", "Can check the promises now")]

    def __str__(self) -> str:
        return self.code


class EventSweep(models.Model):
    """How far Stripe's own list of events was read: one row.

    A window that takes more than one run goes on where the last page ended.
    """

    name = models.CharField(max_length=20, unique=True)  # "events"
    read_until = models.DateTimeField()  # every event that Stripe made before is in the inbox
    window_until = models.DateTimeField(null=True, blank=True)  # None: no window is half read
    cursor = models.CharField(max_length=255, blank=True)  # the last event of the last page read
    swept_at = models.DateTimeField()
    taken_in = models.PositiveIntegerField(default=0)  # by the latest sweep

    def __str__(self) -> str:
        return f"{self.name} until {self.read_until:%Y-%m-%d %H:%M}"


class StripeErrorCount(models.Model):
    """How often Stripe answered with an error, by what it was; all processes count here."""

    code = models.CharField(max_length=60, unique=True)  # "rate_limit", "card_declined", ...
    times = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.code
