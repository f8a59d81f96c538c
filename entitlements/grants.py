"""The single steps of a change to one grant: check, add, move, end, each with its audit entry.

Only `services` calls these, inside a transaction that holds the consumer.
"""

from datetime import datetime

import orjson

from config.errors import IdempotencyConflict, InvalidInput, NotFound
from entitlements.models import Feature, FeatureKind, Grant, Plan
from keystore import audit
from keystore.ids import new_id
from keystore.models import Consumer

MAX_LIMIT = 2**63 - 1


def bring_up_to_date(grant: Grant, values: dict[str, object], reason: str, actor: str) -> bool:
    """Give the grant of a source its present terms; False when it has them and is not revoked."""
    new = {**values, "revoked_at": None}
    old = {name: getattr(grant, name) for name in new}
    if new == old:
        return False
    for name, value in new.items():
        setattr(grant, name, value)
    grant.save(update_fields=list(new))
    audit.record(
        actor=actor,
        act="grant.move" if old["revoked_at"] is None else "grant.reopen",
        target=grant,
        consumer=grant.consumer,
        before=old,
        after=new,
        reason=reason,
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
    )
    return True


def first_grant_for(
    consumer: Consumer, idempotency_key: str, wish: dict[str, object]
) -> Grant | None:
    """The grant that the key already made; IdempotencyConflict if it was for another wish."""
    grant = Grant.objects.filter(consumer=consumer, idempotency_key=idempotency_key).first()
    if grant is None:
        return None
    differing = sorted(name for name, value in wish.items() if getattr(grant, name) != value)
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
    }
