"""What follows from a consumer's grants at one instant. Pure: no database, no clock.

Of several grants that open the same feature the most generous wins: unlimited before any limit,
the larger limit, for config values the plan of higher rank and then the later start. A feature
grant is given to one consumer in person and outranks every plan. A denial beats each grant made
before it and none made after it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from entitlements.models import Effect, Enforcement, FeatureKind, Reset

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What a plan or a single grant gives of one feature.

    `limit` None is unlimited. `reset` and `enforcement` None: as the consumer's plan says.
    """

    code: str
    kind: str = FeatureKind.BOOLEAN
    limit: int | None = None
    config: object = None
    reset: str | None = None
    enforcement: str | None = None


@dataclass(frozen=True, slots=True)
class PlanFacts:
    code: str
    name: str = ""
    rank: int = 0
    features: tuple[FeatureFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """One grant over [valid_from, valid_to): of a plan, named by its code, or of a feature.

    `sequence` is the order in which the consumer's grants were made.
    """

    sequence: int
    grant_id: str
    source: str
    source_ref: str
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None
    effect: str = Effect.ALLOW
    plan: str | None = None
    feature: FeatureFacts | None = None

    def is_live(self, at: datetime) -> bool:
        return self.revoked_at is None and self.valid_from <= at < (self.valid_to or END_OF_TIME)


@dataclass(frozen=True, slots=True)
class Offer:
    """What one grant gives of one feature, and how high it ranks against the others."""

    grant: GrantFacts
    feature: FeatureFacts
    plan: str | None
    rank: float

    @property
    def generosity(self) -> tuple[object, ...]:
        """Greatest is best. Equal ones: soft before hard, longest, highest plan, oldest grant."""
        return (
            self._measure(),
            self.feature.enforcement == Enforcement.SOFT,
            self.grant.valid_to or END_OF_TIME,
            self.rank,
            -self.grant.sequence,
        )

    def _measure(self) -> tuple[object, ...]:
        if self.feature.kind == FeatureKind.LIMIT:
            return (self.feature.limit is None, self.feature.limit or 0)
        if self.feature.kind == FeatureKind.CONFIG:
            return (self.rank, self.grant.valid_from)
        return ()


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What the consumer may use of one feature, and the grant that decides it.

    `value` is True or False, the limit (None: unlimited, 0: none), or the config value.
    `reason` is "granted", "denied" or "none_included" (a hard limit of 0).
    """

    feature_code: str
    kind: str
    active: bool
    value: object
    limit: int | None
    plan: str | None
    reset: str | None
    enforcement: str | None
    source: str
    source_id: str
    valid_from: datetime
    valid_to: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class PlanHeld:
    """A plan that the consumer has now, and the grant that gives it."""

    code: str
    name: str
    rank: int
    source: str
    source_id: str
    valid_from: datetime
    valid_to: datetime | None


def resolve(
    grants: Iterable[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime
) -> list[Entitlement]:
    """Every feature that is open or denied at the instant `at`, by code."""
    live = [grant for grant in grants if grant.is_live(at)]
    offers = offers_by_feature(live, plans)
    denials = latest_denials(live)
    found = []
    for code in sorted(offers.keys() | denials.keys()):
        winner = best_offer(offers.get(code, []), denials.get(code))
        if winner is not None:
            found.append(_entitlement(winner, offers[code]))
        else:
            found.append(_denied(denials[code]))
    return found


def plans_held(
    grants: Iterable[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime
) -> list[PlanHeld]:
    """The plans in force at `at`, highest rank first; one entry for each grant."""
    live = [grant for grant in grants if grant.plan is not None and grant.is_live(at)]
    held = [(plans[grant.plan], grant) for grant in live if grant.plan is not None]
    held.sort(key=lambda pair: (-pair[0].rank, pair[0].code, pair[1].sequence))
    return [
        PlanHeld(
            code=plan.code,
            name=plan.name,
            rank=plan.rank,
            source=grant.source,
            source_id=grant.source_ref,
            valid_from=grant.valid_from,
            valid_to=grant.valid_to,
        )
        for plan, grant in held
    ]


def next_change(grants: Iterable[GrantFacts], at: datetime) -> datetime | None:
    """The first instant after `at` at which a grant starts or ends. None: nothing will."""
    return min(boundaries(grants, at), default=None)


def boundaries(grants: Iterable[GrantFacts], at: datetime) -> set[datetime]:
    """Every instant after `at` at which a grant starts or ends by itself."""
    return {
        instant
        for grant in grants
        if grant.revoked_at is None
        for instant in (grant.valid_from, grant.valid_to)
        if instant is not None and instant > at
    }


def offers_by_feature(
    grants: Iterable[GrantFacts], plans: Mapping[str, PlanFacts]
) -> dict[str, list[Offer]]:
    """What each of the grants gives, whether it is in force or not."""
    offers: dict[str, list[Offer]] = {}
    for grant in grants:
        for offer in _offers_of(grant, plans):
            offers.setdefault(offer.feature.code, []).append(offer)
    return offers


def latest_denials(grants: Iterable[GrantFacts]) -> dict[str, GrantFacts]:
    """The last denial of each feature; the earlier ones decide nothing that it does not."""
    denials: dict[str, GrantFacts] = {}
    for grant in sorted(grants, key=lambda grant: grant.sequence):
        if grant.effect == Effect.DENY and grant.feature is not None:
            denials[grant.feature.code] = grant
    return denials


def best_offer(offers: Iterable[Offer], denial: GrantFacts | None) -> Offer | None:
    """The most generous offer that the denial does not beat."""
    standing = [offer for offer in offers if not is_denied(offer.grant, denial)]
    return max(standing, key=lambda offer: offer.generosity, default=None)


def is_denied(grant: GrantFacts, denial: GrantFacts | None) -> bool:
    return denial is not None and grant.sequence < denial.sequence


def _offers_of(grant: GrantFacts, plans: Mapping[str, PlanFacts]) -> list[Offer]:
    if grant.effect == Effect.DENY:
        return []
    if grant.feature is not None:
        return [Offer(grant, grant.feature, None, math.inf)]
    plan = plans[grant.plan or ""]
    return [Offer(grant, feature, plan.code, plan.rank) for feature in plan.features]


def _entitlement(winner: Offer, rivals: list[Offer]) -> Entitlement:
    feature, grant = winner.feature, winner.grant
    is_limit = feature.kind == FeatureKind.LIMIT
    reset, enforcement = _terms(winner, rivals) if is_limit else (None, None)
    none_included = is_limit and feature.limit == 0 and enforcement == Enforcement.HARD
    return Entitlement(
        feature_code=feature.code,
        kind=feature.kind,
        active=not none_included,
        value=_value(feature),
        limit=feature.limit if is_limit else None,
        plan=winner.plan,
        reset=reset,
        enforcement=enforcement,
        source=grant.source,
        source_id=grant.source_ref,
        valid_from=grant.valid_from,
        valid_to=grant.valid_to,
        reason="none_included" if none_included else "granted",
    )


def _terms(winner: Offer, rivals: list[Offer]) -> tuple[str, str]:
    """When the limit starts anew and how hard it is; a feature grant follows the best plan."""
    plan = max(
        (rival for rival in rivals if rival.plan is not None),
        key=lambda rival: rival.rank,
        default=winner,
    )
    reset = winner.feature.reset or plan.feature.reset or Reset.BILLING_PERIOD
    enforcement = winner.feature.enforcement or plan.feature.enforcement or Enforcement.HARD
    return str(reset), str(enforcement)


def _value(feature: FeatureFacts) -> object:
    if feature.kind == FeatureKind.LIMIT:
        return feature.limit
    return feature.config if feature.kind == FeatureKind.CONFIG else True


def _denied(denial: GrantFacts) -> Entitlement:
    assert denial.feature is not None  # the database refuses a denial of a plan
    kind = denial.feature.kind
    is_limit = kind == FeatureKind.LIMIT
    return Entitlement(
        feature_code=denial.feature.code,
        kind=kind,
        active=False,
        value=0 if is_limit else None if kind == FeatureKind.CONFIG else False,
        limit=0 if is_limit else None,
        plan=None,
        reset=None,
        enforcement=None,
        source=denial.source,
        source_id=denial.source_ref,
        valid_from=denial.valid_from,
        valid_to=denial.valid_to,
        reason="denied",
    )
