"""What a plan gives, as the audit trail keeps it, and back again as the facts of `resolve`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from entitlements.models import FeatureKind, Plan, PlanFeature
from entitlements.resolve import FeatureFacts
from keystore import audit

Contents = Mapping[str, Mapping[str, object]]  # by the feature's code
ACT = "plan.contents"


def contents_of(plan: Plan) -> dict[str, dict[str, object]]:
    rows = PlanFeature.objects.filter(plan=plan).select_related("feature").order_by("feature__code")
    return {
        row.feature.code: {
            "limit": row.limit,
            "config": row.config,
            "reset": row.reset,
            "enforcement": row.enforcement,
        }
        for row in rows
    }


def record_contents(*, plan: Plan, before: Contents, actor: str, at: datetime) -> None:
    """Put on record what the plan gives now, if it is not what it gave before."""
    after = contents_of(plan)
    if before != after:
        audit.record(actor=actor, act=ACT, target=plan, before=before, after=after, at=at)


def facts_of_contents(contents: Contents, kinds: Mapping[str, str]) -> tuple[FeatureFacts, ...]:
    """What was on record; `kinds` are those of the project's features, which never change."""
    return tuple(
        FeatureFacts(code=code, kind=kinds.get(code, FeatureKind.BOOLEAN), **_terms(terms))
        for code, terms in contents.items()
    )


def _terms(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: terms.get(name) for name in ("limit", "config", "reset", "enforcement")}
