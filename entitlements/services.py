"""Every change to what consumers may use. One function is one transaction.

Each takes the consumer's lock first, so changes of one consumer happen one after the other, and
writes the ready answer before it ends.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction

from entitlements.answers import CHANGED, lock_consumer, lock_plan_for_change, store_answer
from entitlements.facts import facts_of
from entitlements.grants import (
    add_grant,
    bring_up_to_date,
    change_grant,
    check_grant,
    check_renewal,
    check_restoration,
    end_grant,
    first_grant_for,
    refuse_source_grant,
    require,
    require_same_project,
)
from entitlements.models import Answer, Effect, Feature, Grant, GrantSource, Plan
from entitlements.resolve import END_OF_TIME, is_denied, latest_denials, offers_by_feature
from keystore.models import Consumer
from keystore.outbox import projects_that_hear

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500  # answers that one turn of the sweeper computes


@dataclass(frozen=True, slots=True)
class WantedGrant:
    """A plan that a source gives over [valid_from, valid_to); None: no end."""

    plan: Plan
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """The staff grants that ended, and the denial if something else opened the feature."""

    ended: tuple[Grant, ...]
    denial: Grant | None

    @property
    def changed(self) -> bool:
        return bool(self.ended or self.denial)


@transaction.atomic
def set_source_grants(
    *,
    consumer: Consumer,
    source: GrantSource,
    source_ref: str,
    wanted: Sequence[WantedGrant],
    reason: str,
    actor: str,
    at: datetime,
) -> bool:
    """Make the plan grants of one subscription or purchase equal `wanted`.

    True when something changed; nothing is written otherwise. A plan that comes back for the same
    source reopens its first grant, so that a denial made in between still beats it. A wanted
    interval that is empty opens nothing.
    """
    require(bool(source_ref), "source_ref", "Name the subscription or purchase.")
    for wish in wanted:
        require_same_project(consumer, wish.plan)
    lock_consumer(consumer)
    rows = Grant.objects.filter(consumer=consumer, source_ref=source_ref)
    grants = {grant.idempotency_key: grant for grant in rows.select_related("consumer")}
    wishes = _wishes_by_key(source_ref, wanted)
    changed = False
    for key, wish in wishes.items():
        values = {"source": source, "valid_from": wish.valid_from, "valid_to": wish.valid_to}
        if key in grants:
            changed |= bring_up_to_date(grants[key], values, reason, actor, at)
        else:
            grant = Grant(consumer=consumer, plan=wish.plan, idempotency_key=key, **values)
            grant.source_ref = source_ref
            add_grant(grant, "grant.give", reason, granted_by=actor, actor=actor, at=at)
            changed = True
    for key in sorted(grants.keys() - wishes.keys()):
        changed |= end_grant(grants[key], reason, actor, at)
    if changed:
        store_answer(consumer, at)
    return changed


@transaction.atomic
def give_grant(
    *,
    consumer: Consumer,
    feature: Feature | None = None,
    plan: Plan | None = None,
    limit: int | None = None,
    config: object = None,
    valid_from: datetime | None,
    valid_to: datetime | None,
    reason: str,
    granted_by: str,
    ticket: str = "",
    source: GrantSource = GrantSource.STAFF,
    idempotency_key: str,
    actor: str,
    at: datetime,
) -> Grant:
    """Open a plan or a feature for the consumer over [valid_from, valid_to).

    `valid_from` None is from `at` on, `valid_to` None without end, `limit` None unlimited. The
    same key and wish gives the first grant again; another wish raises IdempotencyConflict.
    """
    lock_consumer(consumer)
    wish: dict[str, Any] = {"feature": feature, "plan": plan, "effect": Effect.ALLOW}
    wish |= {"limit": limit, "config": config, "source": source, "valid_to": valid_to}
    wish |= {"reason": reason, "granted_by": granted_by, "ticket": ticket}
    if valid_from is not None:  # "now" differs between a request and its repetition
        wish["valid_from"] = valid_from
    first = first_grant_for(consumer, idempotency_key, wish)
    if first is not None:
        return first
    grant = Grant(consumer=consumer, idempotency_key=idempotency_key, **{"valid_from": at, **wish})
    check_grant(grant)
    add_grant(grant, "grant.give", reason, granted_by=granted_by, actor=actor, at=at)
    store_answer(consumer, at)
    return grant


@transaction.atomic
def revoke_grant(*, grant: Grant, reason: str, actor: str, at: datetime) -> bool:
    """End a grant or a denial that staff gave. False, changing nothing, if it was ended before.

    Raises FollowsItsSource for a grant that mirrors a subscription or purchase.
    """
    refuse_source_grant(grant)
    lock_consumer(grant.consumer)
    changed = end_grant(grant, reason, actor, at)
    if changed:
        store_answer(grant.consumer, at)
    return changed


@transaction.atomic
def renew_grant(
    *,
    grant: Grant,
    valid_to: datetime | None,
    reason: str,
    ticket: str,
    actor: str,
    at: datetime,
) -> bool:
    """Let a grant that staff or an app gave end later, for a reason of its own; None: without end.

    One that ended less than RENEW_FOR ago opens again from `at`: what was closed in between stays
    closed. False, changing nothing, when it has these terms. Raises NotRenewable.
    """
    lock_consumer(grant.consumer)
    grant.refresh_from_db()
    new: dict[str, object] = {"valid_to": valid_to, "reason": reason, "ticket": ticket}
    if grant.revoked_at is None and all(getattr(grant, name) == new[name] for name in new):
        return False
    check_renewal(grant, valid_to, at)
    if grant.valid_to is not None and grant.valid_to <= at:
        new["valid_from"] = at
    change_grant(grant, "grant.renew", new, reason, actor, at)
    store_answer(grant.consumer, at)
    return True


@transaction.atomic
def restore_grant(*, grant: Grant, actor: str, reason: str, at: datetime) -> bool:
    """Take the revocation of a grant or a denial back, within UNDO_FOR and if nothing followed it.

    False, changing nothing, when it is not revoked. Raises NotRestorable.
    """
    lock_consumer(grant.consumer)
    grant.refresh_from_db()
    if grant.revoked_at is None:
        return False
    check_restoration(grant, at)
    change_grant(grant, "grant.restore", {"revoked_at": None}, reason, actor, at)
    store_answer(grant.consumer, at)
    return True


@transaction.atomic
def revoke_feature(
    *,
    consumer: Consumer,
    feature: Feature,
    reason: str,
    revoked_by: str,
    idempotency_key: str,
    actor: str,
    at: datetime,
) -> Revocation:
    """Take a feature away: end its staff grants and deny what plans have opened until now.

    A grant made later opens it again. Changes nothing when nothing opens the feature.
    """
    require_same_project(consumer, feature)
    lock_consumer(consumer)
    wish: dict[str, Any] = {"feature": feature, "effect": Effect.DENY}
    wish |= {"reason": reason, "granted_by": revoked_by}
    first = first_grant_for(consumer, idempotency_key, wish)
    if first is not None:
        return Revocation(ended=(), denial=first)
    given = Grant.objects.filter(
        consumer=consumer, feature=feature, effect=Effect.ALLOW, revoked_at=None
    ).exclude(valid_to__lte=at)
    ended = tuple(grant for grant in given.order_by("pk") if end_grant(grant, reason, actor, at))
    denial = None
    if _is_still_open(consumer, feature, at):
        denial = Grant(consumer=consumer, idempotency_key=idempotency_key, **wish)
        denial.source, denial.valid_from = GrantSource.STAFF, at
        add_grant(denial, "grant.deny", reason, granted_by=revoked_by, actor=actor, at=at)
    revocation = Revocation(ended=ended, denial=denial)
    if revocation.changed:
        store_answer(consumer, at)
    return revocation


@transaction.atomic
def refresh_answer(*, consumer: Consumer, at: datetime) -> Answer:
    """Compute the consumer's answer anew; the version stays when nothing differs."""
    lock_consumer(consumer)
    return store_answer(consumer, at)


@transaction.atomic
def refresh_plan_answers(*, plan: Plan, at: datetime) -> int:
    """Call after changing what a plan contains, in that transaction; the number of answers it hit.

    They are marked as run out in one statement and made anew by whoever asks next, so that a plan
    with a million consumers can be edited.
    """
    lock_plan_for_change(plan.pk)
    holders = Grant.objects.filter(plan=plan, revoked_at=None).values("consumer_id")
    return Answer.objects.filter(consumer__in=holders).update(changes_at=at)


def refresh_due_answers(*, clock: Callable[[], datetime], limit: int = MOST_AT_ONCE) -> int:
    """Compute what has changed by time alone, for projects that want to be told: a grant that
    began or ended. Others are made anew when somebody asks. Doing it twice tells nothing twice.
    """
    due = Answer.objects.filter(
        changes_at__lte=clock(), consumer__project__in=projects_that_hear(kind=CHANGED)
    )
    found = list(due.select_related("consumer__project").order_by("changes_at")[:limit])
    for answer in found:
        try:
            refresh_answer(consumer=answer.consumer, at=clock())
        except DatabaseError:
            # Somebody else holds this consumer: the next turn finds it again.
            logger.warning("answers.busy", extra={"consumer": answer.consumer.public_id})
    return len(found)


def _wishes_by_key(source_ref: str, wanted: Sequence[WantedGrant]) -> dict[str, WantedGrant]:
    """The key is the place of a grant within its source: plan and number, earliest first."""
    wishes: dict[str, WantedGrant] = {}
    counts: dict[int, int] = {}
    real = {wish for wish in wanted if (wish.valid_to or END_OF_TIME) > wish.valid_from}
    for wish in sorted(real, key=lambda wish: (wish.valid_from, wish.valid_to or END_OF_TIME)):
        number = counts[wish.plan.pk] = counts.get(wish.plan.pk, 0) + 1
        wishes[f"{source_ref}:{wish.plan.public_id}:{number}"] = wish
    return wishes


def _is_still_open(consumer: Consumer, feature: Feature, at: datetime) -> bool:
    """Whether any grant opens the feature now or later."""
    facts = facts_of(consumer=consumer)
    denial = latest_denials(grant for grant in facts.grants if grant.is_live(at))
    offers = offers_by_feature(facts.grants, facts.plans).get(feature.code, [])
    return any(
        (offer.grant.valid_to or END_OF_TIME) > at
        and not is_denied(offer.grant, denial.get(feature.code))
        for offer in offers
    )
