"""What a consumer may use, and why."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from config.errors import NotFound
from entitlements.answers import lock_consumer, store_answer
from entitlements.explain import Explanation, explain, explain_one
from entitlements.facts import facts_of
from entitlements.models import Answer, Feature, Plan
from entitlements.resolve import Entitlement, offers_by_feature, resolve
from keystore.models import Consumer, Project


class FeatureNotFound(NotFound):
    code = "feature_not_found"


class PlanNotFound(NotFound):
    code = "plan_not_found"


@dataclass(frozen=True, slots=True)
class FeatureExplained:
    """`sold_in` are the codes of the public plans that contain the feature."""

    explanation: Explanation
    sold_in: tuple[str, ...]


def answer_of(*, consumer: Consumer, at: datetime) -> Answer:
    """The consumer's answer at `at`; made anew when there is none or its time has run out.

    So an expiry is right to the instant, whether any task ran or not.
    """
    stored = _current_answer(consumer, at)
    if stored is not None:
        return stored
    with transaction.atomic():
        lock_consumer(consumer)
        return _current_answer(consumer, at) or store_answer(consumer, at)


def entitlements_of(*, consumer: Consumer, at: datetime) -> list[Entitlement]:
    """What the consumer may use at `at`, from the grants themselves."""
    facts = facts_of(consumer=consumer)
    return resolve(facts.grants, facts.plans, at)


def explain_all(*, consumer: Consumer, at: datetime) -> list[FeatureExplained]:
    """Every feature that any grant of the consumer names or named, ended ones included."""
    facts = facts_of(consumer=consumer, with_revoked=True)
    explained = explain(facts.grants, facts.plans, at)
    sold_in = _sold_in(consumer.project, [one.feature_code for one in explained])
    return [FeatureExplained(one, tuple(sold_in.get(one.feature_code, []))) for one in explained]


def explain_feature(*, consumer: Consumer, feature: Feature, at: datetime) -> FeatureExplained:
    """Why the consumer may or may not use one feature, also if nothing ever opened it."""
    facts = facts_of(consumer=consumer, with_revoked=True)
    offers = offers_by_feature(facts.grants, facts.plans).get(feature.code, [])
    explained = explain_one(list(facts.grants), facts.plans, at, feature.code, offers)
    sold_in = _sold_in(consumer.project, [feature.code])
    return FeatureExplained(explained, tuple(sold_in.get(feature.code, [])))


def feature_by_code(*, project: Project, code: str, location: str = "body") -> Feature:
    """The project's feature. Raises FeatureNotFound, which lists those that exist."""
    feature = Feature.objects.filter(project=project, code=code).first()
    if feature is None:
        codes = features_of(project=project).values_list("code", flat=True)
        raise FeatureNotFound(
            f"There is no feature {code!r} in this project.",
            errors=[_unknown(f"{location}.feature_code", code, list(codes[:50]))],
        )
    return feature


def plan_by_code(*, project: Project, code: str) -> Plan:
    """The project's plan. Raises PlanNotFound, which lists those that exist."""
    plan = Plan.objects.filter(project=project, code=code).first()
    if plan is None:
        plans = Plan.objects.filter(project=project).order_by("rank", "code")
        codes = plans.values_list("code", flat=True)
        raise PlanNotFound(
            f"There is no plan {code!r} in this project.",
            errors=[
                _unknown("body.plan_code", code, list(codes.values_list("code", flat=True)[:50]))
            ],
        )
    return plan


def features_of(*, project: Project) -> QuerySet[Feature]:
    return Feature.objects.filter(project=project).order_by("code")


def public_plans_of(*, project: Project) -> QuerySet[Plan]:
    """The plans that the project offers to everyone, lowest rank first, with their features."""
    plans = Plan.objects.filter(project=project, public=True).order_by("rank", "code")
    return plans.prefetch_related("plan_features__feature").select_related("api")


def _current_answer(consumer: Consumer, at: datetime) -> Answer | None:
    # Found together with its consumer (entitlements.held), or looked for now.
    together: Answer | None = consumer._state.fields_cache.get("held_answer")
    stored = together or Answer.objects.filter(consumer=consumer).first()
    if stored is None or (stored.changes_at is not None and stored.changes_at <= at):
        return None
    return stored


def _sold_in(project: Project, feature_codes: list[str]) -> dict[str, list[str]]:
    plans = public_plans_of(project=project).filter(plan_features__feature__code__in=feature_codes)
    pairs = plans.values_list("plan_features__feature__code", "code")
    sold_in: dict[str, list[str]] = {}
    for feature_code, plan_code in pairs:
        sold_in.setdefault(feature_code, []).append(plan_code)
    return sold_in


def _unknown(location: str, code: str, existing: list[str]) -> dict[str, str]:
    return {
        "location": location,
        "message": f"{code!r} is not known.",
        "fix": f"Use one of: {', '.join(existing)}." if existing else "Define one first.",
    }
