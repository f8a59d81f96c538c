"""A consumer's grants and their plans, read from the tables as the plain values of `resolve`."""

from collections.abc import Collection
from dataclasses import dataclass

from entitlements.models import Grant, Plan
from entitlements.resolve import FeatureFacts, GrantFacts, PlanFacts
from keystore.models import Consumer


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
    """The facts of many consumers in three queries, whatever their number."""
    rows: dict[int, list[Grant]] = {pk: [] for pk in consumer_ids}
    grants = Grant.objects.filter(consumer__in=consumer_ids, revoked_at=None)
    for grant in grants.select_related("feature", "plan").order_by("pk"):
        rows[grant.consumer_id].append(grant)
    plan_ids = {grant.plan_id for held in rows.values() for grant in held if grant.plan_id}
    plans = Plan.objects.filter(pk__in=plan_ids).prefetch_related("plan_features__feature")
    by_id = {plan.pk: _plan_facts(plan) for plan in plans}
    return {
        pk: Facts(
            grants=tuple(grant_facts(grant) for grant in held),
            plans={
                grant.plan.code: by_id[grant.plan_id]
                for grant in held
                if grant.plan is not None and grant.plan_id is not None
            },
        )
        for pk, held in rows.items()
    }


def plan_facts(plan_ids: Collection[int]) -> dict[str, PlanFacts]:
    """Plans with their features, by code."""
    if not plan_ids:
        return {}
    plans = Plan.objects.filter(pk__in=plan_ids).prefetch_related("plan_features__feature")
    return {plan.code: _plan_facts(plan) for plan in plans}


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
