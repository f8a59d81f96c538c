"""May this be used? The answer about one feature of one consumer, with what is left of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from entitlements.models import Feature, FeatureKind
from entitlements.selectors import public_plans_of
from keystore.models import Project
from metering.amounts import shown
from metering.failpolicy import Policy
from metering.quotas import Left
from metering.selectors import QuotaShown

ALLOWED = "ALLOWED"
NOT_ENTITLED = "FEATURE_NOT_ENTITLED"
EXCEEDED = "USAGE_EXCEEDED"
NOT_FOUND = "FEATURE_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Answer:
    """`left` None: nothing is counted for the feature. `resets_at` None: never."""

    user_id: str
    feature: str
    code: str
    reason: str
    entitlement: Mapping[str, Any] | None
    left: Left | None
    resets_at: datetime | None
    version: int
    policy: Policy

    @property
    def allowed(self) -> bool:
        return self.code == ALLOWED

    def body(self) -> dict[str, Any]:
        held, left = self.entitlement, self.left
        return {
            "allowed": self.allowed,
            "code": self.code,
            "reason": self.reason,
            "user_id": self.user_id,
            "feature": self.feature,
            "value": held and held["value"],
            "limit": shown(left.limit) if left else held and held["limit"],
            "used": shown(left.used) if left else None,
            "remaining": shown(left.remaining) if left else None,
            "credits": shown(left.credits) if left else None,
            "resets_at": self.resets_at,
            "source": held and {"type": held["source"], "id": held["source_id"]},
            "valid_to": held and held["valid_to"],
            "version": self.version,
            "max_age": self.policy.fresh_seconds,
            "on_failure": self.policy.on_failure,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """A consumer's ready answer and what is left of its limits, by the feature's code."""

    entitlements: Mapping[str, Mapping[str, Any]]
    version: int
    quotas: Mapping[str, QuotaShown]


NOBODY = Known({}, 0, {})


def judge(
    *, user_id: str, feature: str, quantity: Decimal, known: Known | None, policy: Policy
) -> Answer:
    """Whether `quantity` of the feature could be used now; 0 asks whether any use is open."""
    held = (known or NOBODY).entitlements.get(feature)
    quota = (known or NOBODY).quotas.get(feature)
    code, reason = _judged(held, quota, quantity, known is not None)
    return Answer(
        user_id=user_id,
        feature=feature,
        code=code,
        reason=reason,
        entitlement=held,
        left=quota.left if quota and quota.terms.entitled else None,
        resets_at=quota.resets_at if quota and quota.terms.entitled else None,
        version=(known or NOBODY).version,
        policy=policy,
    )


def missing_feature(*, user_id: str, feature: str) -> Answer:
    """The answer about a feature that the project does not have."""
    return Answer(user_id, feature, NOT_FOUND, "unknown_feature", None, None, None, 0, Policy())


def after_taking(answer: Answer, *, left: Left, code: str, resets_at: datetime | None) -> Answer:
    """What holds when it was taken, or refused."""
    if not code:
        return replace(answer, code=ALLOWED, reason="granted", left=left, resets_at=resets_at)
    if code == "usage_exceeded":
        return replace(
            answer, code=EXCEEDED, reason="usage_exceeded", left=left, resets_at=resets_at
        )
    return replace(answer, code=NOT_ENTITLED)


def plans_that_would(
    *, project: Project, feature: Feature, quantity: Decimal, left: Left | None
) -> list[dict[str, Any]]:
    """The public plans with which it would be allowed, lowest rank first."""
    used = left.used + left.reserved - left.from_credits if left else Decimal(0)
    found = []
    for plan in public_plans_of(project=project):
        for content in plan.plan_features.all():
            if content.feature_id != feature.pk:
                continue
            hard = feature.kind == FeatureKind.LIMIT and content.enforcement == "hard"
            if (
                not hard
                or content.limit is None
                or used + max(quantity, Decimal(1)) <= content.limit
            ):
                told = {"code": plan.code, "name": plan.name, "rank": plan.rank}
                found.append({**told, "limit": content.limit, "reset": content.reset})
    return found


def _judged(
    held: Mapping[str, Any] | None, quota: QuotaShown | None, quantity: Decimal, is_known: bool
) -> tuple[str, str]:
    if held is None:
        return NOT_ENTITLED, "not_included" if is_known else "unknown_user"
    if held["reason"] == "denied":
        return NOT_ENTITLED, "denied"
    if quota is None or quota.left.limit is None:
        return (ALLOWED, "granted") if held["active"] else (NOT_ENTITLED, str(held["reason"]))
    if held["active"] and not quantity:
        return ALLOWED, "granted"
    left = quota.left
    wanted = max(quantity, Decimal(1)) if not held["active"] else quantity
    if wanted <= (left.remaining or 0):
        return ALLOWED, "granted"
    if wanted <= (left.remaining or 0) + left.credits:
        return ALLOWED, "paid_by_credits"
    if not quota.terms.hard:
        return ALLOWED, "overage"
    return (EXCEEDED, "usage_exceeded") if held["active"] else (NOT_ENTITLED, str(held["reason"]))
