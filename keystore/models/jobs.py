"""What became of the periodic jobs."""

from django.db import models


class JobOutcome(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobRun(models.Model):
    """The latest run of one periodic job, and since when it has been failing."""

    name = models.CharField(max_length=100, unique=True)  # "billing.tasks.work_inbox"
    outcome = models.CharField(max_length=10, choices=JobOutcome)
    rung_at = models.DateTimeField(null=True, blank=True)  # None: no beat has rung it yet
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)  # None: running, or it was killed
    succeeded_at = models.DateTimeField(null=True, blank=True)  # None: never yet
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    result = models.TextField(blank=True)  # what the job returned, or why it failed
    runs = models.PositiveBigIntegerField(default=0)
    failures_in_a_row = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outcome__in=JobOutcome.values), name="job_outcome_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
