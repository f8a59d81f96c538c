"""A consumer's grants and their plans, read from the tables as the plain values of `resolve`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from entitlements.models import Grant, Plan
from entitlements.resolve import FeatureFacts, GrantFacts, PlanFacts
from keystore.models import Consumer

# Of a grant: its feature, then what `GrantFacts` begins with, in that order.
COLUMNS = (
    "feature__code",
    "feature__kind",
    "limit",
    "config",
    "pk",
    "public_id",
    "source",
    "source_ref",
    "valid_from",
    "valid_to",
    "revoked_at",
    "effect",
    "plan__code",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides what one consumer may use; plans by their code."""

    grants: tuple[GrantFacts, ...]
    plans: dict[str, PlanFacts]


def facts_of(*, consumer: Consumer, with_revoked: bool = False) -> Facts:
    """The consumer's facts in two queries, three when there is a plan among them."""
    grants = Grant.objects.filter(consumer=consumer).select_related("feature", "plan")
    if not with_revoked:
        grants = grants.filter(revoked_at=None)
    rows = list(grants)
    plans = plan_facts({row.plan_id for row in rows if row.plan_id is not None})
    return Facts(grants=tuple(grant_facts(row) for row in rows), plans=plans)


def facts_by_consumer(*, consumer_ids: Collection[int]) -> dict[int, Facts]:
    """The facts of many consumers in three queries, whatever their number; without instances,
    whose making would be most of the cost.
    """
    grants = Grant.objects.filter(consumer__in=consumer_ids, revoked_at=None)
    rows = grants.order_by("pk").values_list("consumer_id", "plan_id", *COLUMNS)
    held: dict[int, list[GrantFacts]] = {pk: [] for pk in consumer_ids}
    plan_ids: dict[int, set[int]] = {}
    for consumer_id, plan_id, *columns in rows:
        held[consumer_id].append(_facts_of_columns(*columns))
        if plan_id is not None:
            plan_ids.setdefault(consumer_id, set()).add(plan_id)
    plans = _plans_by_id(set().union(*plan_ids.values()))
    return {
        pk: Facts(
            grants=tuple(grants_of_one),
            plans={plans[one].code: plans[one] for one in plan_ids.get(pk, ())},
        )
        for pk, grants_of_one in held.items()
    }


def _facts_of_columns(
    feature: str | None, kind: str, limit: int | None, config: object, *columns: Any
) -> GrantFacts:
    given = None if feature is None else FeatureFacts(feature, kind, limit, config)
    return GrantFacts(*(*columns, given))


def _plans_by_id(plan_ids: Collection[int]) -> dict[int, PlanFacts]:
    plans = Plan.objects.filter(pk__in=plan_ids).prefetch_related("plan_features__feature")
    return {plan.pk: _plan_facts(plan) for plan in plans}


def plan_facts(plan_ids: Collection[int]) -> dict[str, PlanFacts]:
    """Plans with their features, by code."""
    if not plan_ids:
        return {}
    return {plan.code: plan for plan in _plans_by_id(plan_ids).values()}


def _plan_facts(plan: Plan) -> PlanFacts:
    features = tuple(
        FeatureFacts(
            code=given.feature.code,
            kind=given.feature.kind,
            limit=given.limit,
            config=given.config,
            reset=given.reset,
            enforcement=given.enforcement,
        )
        for given in plan.plan_features.all()
    )
    return PlanFacts(code=plan.code, name=plan.name, rank=plan.rank, features=features)


def grant_facts(grant: Grant) -> GrantFacts:
    """The grant as a plain value; it need not be saved."""
    feature = grant.feature
    return GrantFacts(
        sequence=grant.pk,
        grant_id=grant.public_id,
        source=grant.source,
        source_ref=grant.source_ref,
        valid_from=grant.valid_from,
        valid_to=grant.valid_to,
        revoked_at=grant.revoked_at,
        effect=grant.effect,
        plan=grant.plan.code if grant.plan is not None else None,
        feature=None
        if feature is None
        else FeatureFacts(feature.code, feature.kind, grant.limit, grant.config),
    )
