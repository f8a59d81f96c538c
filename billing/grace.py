"""For how long an unpaid renewal keeps its access."""

from datetime import timedelta

from keystore.models import Project

DEFAULT_GRACE_DAYS = 7


def grace_of(project: Project) -> timedelta:
    """For how long an unpaid renewal keeps its access."""
    policy = getattr(project, "billing_policy", None)
    return timedelta(days=policy.grace_days if policy else DEFAULT_GRACE_DAYS)
