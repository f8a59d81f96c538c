"""Why a consumer may or may not use a feature: who won, who lost and why, and what comes next.

Pure: no database, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from entitlements.resolve import (
    Entitlement,
    GrantFacts,
    Offer,
    PlanFacts,
    best_offer,
    boundaries,
    is_denied,
    latest_denials,
    offers_by_feature,
    resolve,
)


@dataclass(frozen=True, slots=True)
class Loser:
    """A grant that names the feature and does not decide it."""

    offer: Offer
    why: str  # revoked, ended, not_started, denied or less_generous
    detail: str


@dataclass(frozen=True, slots=True)
class Change:
    """What the answer becomes at an instant to come. None: the feature is gone."""

    at: datetime
    entitlement: Entitlement | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Entitlement, winner and denial are None where there is none."""

    feature_code: str
    entitlement: Entitlement | None
    winner: Offer | None
    denial: GrantFacts | None
    losers: tuple[Loser, ...]
    changes: tuple[Change, ...]


def explain(
    grants: Iterable[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime
) -> list[Explanation]:
    """One explanation for each feature that any grant ever named, by code."""
    all_grants = list(grants)
    offers = offers_by_feature(all_grants, plans)
    named = {grant.feature.code for grant in all_grants if grant.feature is not None}
    return [
        explain_one(all_grants, plans, at, code, offers.get(code, []))
        for code in sorted(offers.keys() | named)
    ]


def explain_one(
    grants: list[GrantFacts],
    plans: Mapping[str, PlanFacts],
    at: datetime,
    feature_code: str,
    offers: list[Offer],
) -> Explanation:
    """`offers` are all that the grants give of the feature, ended ones included."""
    live = [grant for grant in grants if grant.is_live(at)]
    denial = latest_denials(live).get(feature_code)
    winner = best_offer([offer for offer in offers if offer.grant.is_live(at)], denial)
    losers = [_loser(offer, winner, denial, at) for offer in offers if offer is not winner]
    return Explanation(
        feature_code=feature_code,
        entitlement=_entitlement_at(grants, plans, at, feature_code),
        winner=winner,
        denial=denial,
        losers=tuple(sorted(losers, key=lambda loser: loser.offer.grant.sequence)),
        changes=_changes(grants, plans, at, feature_code),
    )


def _loser(offer: Offer, winner: Offer | None, denial: GrantFacts | None, at: datetime) -> Loser:
    grant = offer.grant
    if grant.revoked_at is not None:
        return Loser(offer, "revoked", f"Revoked at {grant.revoked_at.isoformat()}.")
    if grant.valid_to is not None and grant.valid_to <= at:
        return Loser(offer, "ended", f"Ended at {grant.valid_to.isoformat()}.")
    if grant.valid_from > at:
        return Loser(offer, "not_started", f"Starts at {grant.valid_from.isoformat()}.")
    if denial is not None and is_denied(grant, denial):
        return Loser(offer, "denied", f"Made before the denial {denial.grant_id}.")
    best = winner.grant.grant_id if winner else ""
    return Loser(offer, "less_generous", f"{best} gives more, or the same for longer.")


def _changes(
    grants: list[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime, feature_code: str
) -> tuple[Change, ...]:
    before = _entitlement_at(grants, plans, at, feature_code)
    changes = []
    for instant in sorted(boundaries(grants, at)):
        after = _entitlement_at(grants, plans, instant, feature_code)
        if after != before:
            changes.append(Change(instant, after))
        before = after
    return tuple(changes)


def _entitlement_at(
    grants: list[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime, feature_code: str
) -> Entitlement | None:
    found = resolve(grants, plans, at)
    return next((one for one in found if one.feature_code == feature_code), None)
