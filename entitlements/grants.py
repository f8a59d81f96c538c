"""The single steps of a change to one grant: check, add, move, end, each with its audit entry.

Only `services` calls these, inside a transaction that holds the consumer.
"""

from datetime import datetime, timedelta

import orjson
from django.utils.dateparse import parse_datetime

from config.errors import Conflict, IdempotencyConflict, InvalidInput, NotFound
from entitlements.models import Effect, Feature, FeatureKind, Grant, Plan
from keystore import audit
from keystore.ids import new_id
from keystore.models import AuditEntry, Consumer

MAX_LIMIT = 2**63 - 1
UNDO_FOR = timedelta(minutes=10)  # how long a revocation can be taken back
RENEW_FOR = timedelta(days=30)  # how long after its end a grant can be renewed


class FollowsItsSource(Conflict):
    """The grant mirrors a subscription or purchase, which would open it again."""

    code = "grant_follows_its_source"


class NotRenewable(Conflict):
    code = "grant_not_renewable"


class NotRestorable(Conflict):
    code = "grant_not_restorable"


def bring_up_to_date(
    grant: Grant, values: dict[str, object], reason: str, actor: str, at: datetime
) -> bool:
    """Give the grant of a source its present terms; False when it has them and is not revoked."""
    act = "grant.move" if grant.revoked_at is None else "grant.reopen"
    return change_grant(grant, act, {**values, "revoked_at": None}, reason, actor, at)


def change_grant(
    grant: Grant, act: str, new: dict[str, object], reason: str, actor: str, at: datetime
) -> bool:
    """Write the new values with an entry that names what they were; False when none differs."""
    old = {name: getattr(grant, name) for name in new}
    if new == old:
        return False
    for name, value in new.items():
        setattr(grant, name, value)
    grant.save(update_fields=list(new))
    audit.record(
        actor=actor,
        act=act,
        target=grant,
        consumer=grant.consumer,
        before=old,
        after=new,
        reason=reason,
        at=at,
    )
    return True


def add_grant(
    grant: Grant, act: str, reason: str, *, granted_by: str, actor: str, at: datetime
) -> None:
    """Write the new grant. Without a source of its own it is the source itself."""
    grant.public_id = new_id("grant")
    grant.source_ref = grant.source_ref or grant.public_id
    grant.project_id = grant.consumer.project_id
    grant.reason = reason
    grant.granted_by = granted_by
    grant.created_at = at
    grant.save(force_insert=True)
    audit.record(
        actor=actor,
        act=act,
        target=grant,
        consumer=grant.consumer,
        after=_recorded(grant),
        reason=reason,
        at=at,
    )


def end_grant(grant: Grant, reason: str, actor: str, at: datetime) -> bool:
    """End the grant at once, unless it was ended before."""
    if not Grant.objects.filter(pk=grant.pk, revoked_at=None).update(revoked_at=at):
        return False
    grant.revoked_at = at
    audit.record(
        actor=actor,
        act="grant.revoke",
        target=grant,
        consumer=grant.consumer,
        before={"revoked_at": None},
        after={"revoked_at": at},
        reason=reason,
        at=at,
    )
    return True


def first_grant_for(
    consumer: Consumer, idempotency_key: str, wish: dict[str, object]
) -> Grant | None:
    """The grant that the key already made; IdempotencyConflict if it was for another wish."""
    grant = Grant.objects.filter(consumer=consumer, idempotency_key=idempotency_key).first()
    if grant is None:
        return None
    given = {name: getattr(grant, name) for name in wish}
    if given != wish:  # a renewal since then is no other wish
        given.update(_terms_before_renewals(grant))
    differing = sorted(name for name, value in wish.items() if given[name] != value)
    if differing:
        raise IdempotencyConflict(
            "This idempotency key was used for another grant: use a new key.", differing=differing
        )
    return grant


def check_grant(grant: Grant) -> None:
    """Refuse a wish that the tables would refuse, in words that say what to change."""
    opened = grant.feature or grant.plan
    if opened is None or (grant.feature and grant.plan):
        raise InvalidInput("Grant either a feature or a plan.")
    require_same_project(grant.consumer, opened)
    kind = grant.feature.kind if grant.feature else None
    in_range = grant.limit is None or 0 <= grant.limit <= MAX_LIMIT
    require(in_range, "limit", f"A limit is between 0 and {MAX_LIMIT}.")
    takes_limit = kind == FeatureKind.LIMIT or grant.limit is None
    require(takes_limit, "limit", "Only a feature of kind limit takes a limit.")
    is_config = kind == FeatureKind.CONFIG
    require(
        is_config == (grant.config is not None),
        "config",
        "This feature needs a config value." if is_config else "Only a config feature takes one.",
    )
    require(_fits_answers(grant.config), "config", "Numbers in a config value have 64 bits.")
    ends_later = grant.valid_to is None or grant.valid_to > grant.valid_from
    require(ends_later, "valid_to", "The end must be later than the start.")


def check_renewal(grant: Grant, valid_to: datetime | None, at: datetime) -> None:
    """Refuse to renew what cannot go on, and to an end that is no renewal."""
    refuse_source_grant(grant)
    if grant.effect == Effect.DENY:
        raise NotRenewable("This is a denial, which has no end: revoke it to open the feature.")
    if grant.revoked_at is not None:
        raise NotRenewable("This grant is revoked: give a new one.")
    if grant.valid_to is None:
        raise NotRenewable("This grant has no end: there is nothing to renew.")
    if grant.valid_to + RENEW_FOR <= at:
        raise NotRenewable(f"This grant ended more than {RENEW_FOR.days} days ago: give a new one.")
    future = valid_to is None or valid_to > at
    require(future, "valid_to", "The end must be in the future.")
    later = valid_to is None or valid_to > grant.valid_to
    require(later, "valid_to", "A renewal ends later than before: revoke the grant to end it.")


def check_restoration(grant: Grant, at: datetime) -> None:
    """Refuse to take back what is no fresh revocation, or what was changed after it."""
    refuse_source_grant(grant)
    if grant.revoked_at is None or at - grant.revoked_at >= UNDO_FOR:
        minutes = int(UNDO_FOR.total_seconds()) // 60
        raise NotRestorable(
            f"A revocation can be undone for {minutes} minutes: give a new grant instead."
        )
    last = AuditEntry.objects.filter(object_kind="grant", object_id=grant.public_id)
    entry = last.order_by("-pk").first()
    if entry is None or entry.act != "grant.revoke":
        raise NotRestorable("This grant was changed after it was revoked: look at it again.")


def refuse_source_grant(grant: Grant) -> None:
    if grant.source_ref != grant.public_id:
        raise FollowsItsSource(
            f"This access comes from {grant.source_ref}: cancel or refund that, "
            "or revoke single features, which outlasts renewals."
        )


def require(holds: bool, field: str, message: str) -> None:
    if not holds:
        raise InvalidInput(message, errors=[{"location": f"body.{field}", "message": message}])


def require_same_project(consumer: Consumer, opened: Feature | Plan) -> None:
    if opened.project_id != consumer.project_id:
        raise NotFound(f"There is no {opened._meta.verbose_name} {opened.code!r} in this project.")


def _fits_answers(config: object) -> bool:
    try:
        orjson.dumps(config)
    except TypeError:
        return False
    return True


def _recorded(grant: Grant) -> dict[str, object]:
    return {
        "feature": grant.feature.code if grant.feature else None,
        "plan": grant.plan.code if grant.plan else None,
        "effect": grant.effect,
        "limit": grant.limit,
        "config": grant.config,
        "source": grant.source,
        "source_ref": grant.source_ref,
        "valid_from": grant.valid_from,
        "valid_to": grant.valid_to,
        "reason": grant.reason,
        "ticket": grant.ticket,
    }


def _terms_before_renewals(grant: Grant) -> dict[str, object]:
    """What the first renewal replaced; nothing if there was none."""
    renewals = AuditEntry.objects.filter(
        object_kind="grant", object_id=grant.public_id, act="grant.renew"
    )
    first = renewals.order_by("pk").first()
    if first is None or not isinstance(first.before, dict):
        return {}
    instants = {
        name: parse_datetime(str(first.before[name]))
        for name in ("valid_from", "valid_to")
        if name in first.before
    }
    return {**first.before, **instants}
