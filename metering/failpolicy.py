"""How long an answer may be used, and what holds when the next one does not come."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from config.errors import InvalidInput
from entitlements.models import Feature
from keystore import audit
from keystore.locking import upsert
from keystore.models import Project
from metering.models import FailPolicy, OnFailure

LONGEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Policy:
    """Unless somebody said otherwise: ask each time, and without an answer refuse."""

    on_failure: str = OnFailure.CLOSED
    fresh_seconds: int = 0
    stale_seconds: int = 0


def policies_of(*, project: Project) -> dict[str | None, Policy]:
    """By the feature's code; None is what holds for the others."""
    rows = FailPolicy.objects.filter(project=project).values_list(
        "feature__code", "on_failure", "fresh_seconds", "stale_seconds"
    )
    found: dict[str | None, Policy] = {None: Policy()}
    for code, said, fresh, stale in rows:
        found[code] = Policy(said, fresh, stale)
    return found


def strictest(policies: Iterable[Policy]) -> Policy:
    """What holds for an answer about several features."""
    found = list(policies) or [Policy()]
    closed = any(policy.on_failure == OnFailure.CLOSED for policy in found)
    return Policy(
        OnFailure.CLOSED if closed else OnFailure.OPEN,
        min(policy.fresh_seconds for policy in found),
        min(policy.stale_seconds for policy in found),
    )


def cache_control(policy: Policy, *, until: Iterable[datetime | None], at: datetime) -> str:
    """The header: fresh until the answer changes by itself at the latest."""
    ends = [int((end - at).total_seconds()) for end in until if end is not None]
    fresh = max(0, min([policy.fresh_seconds, *ends]))
    if policy.on_failure == OnFailure.OPEN:
        return f"private, max-age={fresh}, stale-if-error={policy.stale_seconds}"
    return f"private, max-age={fresh}, must-revalidate"


@transaction.atomic
def set_fail_policy(
    *, project: Project, feature: Feature | None, policy: Policy, actor: str, reason: str
) -> FailPolicy:
    """Say it for one feature, or (None) for all that have none of their own."""
    if feature is not None and feature.project_id != project.pk:
        raise InvalidInput("The feature belongs to another project.")
    longest = int(LONGEST.total_seconds())
    seconds = (policy.fresh_seconds, policy.stale_seconds)
    if policy.on_failure not in OnFailure.values or not all(0 <= one <= longest for one in seconds):
        raise InvalidInput("Choose fail_open or fail_closed, and 0 seconds to 7 days.")
    terms: dict[str, Any] = {
        "on_failure": policy.on_failure,
        "fresh_seconds": policy.fresh_seconds,
        "stale_seconds": policy.stale_seconds,
    }
    row, _ = upsert(FailPolicy, project=project, feature=feature, defaults=terms)
    audit.record(actor=actor, act="fail_policy.set", target=row, after=terms, reason=reason)
    return row
