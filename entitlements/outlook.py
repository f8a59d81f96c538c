"""What a consumer would have if a grant were given, renewed or ended: told before it is done."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.facts import Facts, facts_of, grant_facts, plan_facts
from entitlements.models import Grant
from entitlements.resolve import (
    Entitlement,
    GrantFacts,
    PlanFacts,
    boundaries,
    resolve,
)

NOT_YET_MADE = "this grant"
LAST_IN_ORDER = 2**62  # a grant that is not made yet comes after all that are


@dataclass(frozen=True, slots=True)
class Outlook:
    """One feature at `since`, without the change and with it. None: not open.

    `since` is the first instant at which the change makes a difference, else when it begins.
    """

    feature_code: str
    since: datetime
    without: Entitlement | None
    with_it: Entitlement | None

    @property
    def opens(self) -> bool:
        """Whether the change gives or takes something, and not merely for longer."""
        return _worth(self.without) != _worth(self.with_it)

    @property
    def decides(self) -> bool:
        """Whether the answer is another one at all."""
        return self.without != self.with_it


def outlook_of_gift(*, grant: Grant, at: datetime) -> list[Outlook]:
    """What the grant, which is not saved, would change for its consumer."""
    known = facts_of(consumer=grant.consumer)
    new = replace(
        grant_facts(grant),
        sequence=LAST_IN_ORDER,
        grant_id=NOT_YET_MADE,
        source_ref=NOT_YET_MADE,
    )
    missing = {grant.plan_id} if grant.plan_id is not None else set()
    plans = {**known.plans, **plan_facts(missing)}
    return compare(known.grants, (*known.grants, new), plans, max(at, grant.valid_from))


def outlook_of_renewal(*, grant: Grant, valid_to: datetime | None, at: datetime) -> list[Outlook]:
    """What another end of the grant would change."""
    known = facts_of(consumer=grant.consumer)

    def renewed(one: GrantFacts) -> GrantFacts:
        ended = one.valid_to is not None and one.valid_to <= at
        return replace(one, valid_to=valid_to, valid_from=at if ended else one.valid_from)

    return _compared_with(known, grant, renewed, at)


def outlook_of_end(*, grant: Grant, at: datetime) -> list[Outlook]:
    """What closes, or opens, if the grant ends now."""
    known = facts_of(consumer=grant.consumer)
    return _compared_with(known, grant, lambda one: replace(one, revoked_at=at), at)


def compare(
    without: Iterable[GrantFacts],
    with_it: Iterable[GrantFacts],
    plans: Mapping[str, PlanFacts],
    at: datetime,
) -> list[Outlook]:
    """Every feature of the grants that differ, each at the first instant that shows it."""
    old, new = list(without), list(with_it)
    changed = [grant for grant in new if grant not in old]
    instants = sorted({at} | boundaries(old, at) | boundaries(new, at))
    answers = [
        (instant, _by_code(old, plans, instant), _by_code(new, plans, instant))
        for instant in instants
    ]
    found = []
    for code in sorted({code for grant in changed for code in _features_of(grant, plans)}):
        rows = [Outlook(code, when, a.get(code), b.get(code)) for when, a, b in answers]
        opening = next((row for row in rows if row.opens), None)
        found.append(opening or next((row for row in rows if row.decides), rows[0]))
    return found


def _compared_with(
    known: Facts, grant: Grant, changed: Callable[[GrantFacts], GrantFacts], at: datetime
) -> list[Outlook]:
    after = [changed(one) if one.grant_id == grant.public_id else one for one in known.grants]
    return compare(known.grants, after, known.plans, at)


def _by_code(
    grants: list[GrantFacts], plans: Mapping[str, PlanFacts], at: datetime
) -> dict[str, Entitlement]:
    return {one.feature_code: one for one in resolve(grants, plans, at)}


def _features_of(grant: GrantFacts, plans: Mapping[str, PlanFacts]) -> list[str]:
    if grant.feature is not None:
        return [grant.feature.code]
    return [feature.code for feature in plans[grant.plan or ""].features]


def _worth(entitlement: Entitlement | None) -> tuple[object, ...]:
    if entitlement is None or not entitlement.active:
        return ()
    return (entitlement.value, entitlement.enforcement, entitlement.reset)
