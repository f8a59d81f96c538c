"""What an app may do with an answer while it cannot ask for another."""

from django.db import models
from django.db.models import Q

from entitlements.models import Feature
from keystore.models import Project


class OnFailure(models.TextChoices):
    OPEN = "fail_open"  # go on with the last answer, or let pass
    CLOSED = "fail_closed"


class FailPolicy(models.Model):
    """For one feature, or (`feature` None) for those of the project that have none of their own."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="fail_policies")
    feature = models.ForeignKey(
        Feature, models.CASCADE, null=True, blank=True, related_name="fail_policies"
    )
    on_failure = models.CharField(
        max_length=11, choices=OnFailure, default=OnFailure.CLOSED, verbose_name="on failure"
    )
    fresh_seconds = models.PositiveIntegerField(default=0)  # an answer may be used so long unasked
    stale_seconds = models.PositiveIntegerField(default=0)  # and so long when asking fails

    class Meta:
        verbose_name_plural = "fail policies"
        permissions = [("set_failpolicy", "Can say what holds while Latchkey cannot be asked")]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "feature"],
                name="policy_once_per_feature",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(on_failure__in=OnFailure.values), name="policy_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.on_failure} for {self.feature or 'every feature'}"
