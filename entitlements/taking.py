"""Taking a feature away is one act, though it ends grants and adds a denial: undone in one step."""

from datetime import datetime

from django.db import transaction

from entitlements.answers import lock_consumer, store_answer
from entitlements.grants import UNDO_FOR, NotRestorable, change_grant, check_restoration, end_grant
from entitlements.models import Effect, Grant
from entitlements.services import Revocation
from keystore.models import AuditEntry


def taken_at(grant: Grant) -> datetime | None:
    """When the act happened that this denial, or this ended grant, is part of."""
    denies = grant.effect == Effect.DENY and grant.revoked_at is None
    return grant.valid_from if denies else grant.revoked_at


@transaction.atomic
def give_feature_back(*, part: Grant, reason: str, actor: str, at: datetime) -> Revocation:
    """Undo the taking that `part` belongs to, within UNDO_FOR: grants that it ended are in force
    again, its denial ends. Empty, changing nothing, when that was done before.

    Raises NotRestorable when it is too late, or when a part of it was changed since.
    """
    lock_consumer(part.consumer)
    part.refresh_from_db()
    instant = taken_at(part)
    if instant is None:
        return Revocation(ended=(), denial=None)
    rows = Grant.objects.filter(consumer=part.consumer, feature=part.feature_id).order_by("pk")
    denial = rows.filter(effect=Effect.DENY, revoked_at=None, valid_from=instant).first()
    ended = tuple(rows.filter(effect=Effect.ALLOW, revoked_at=instant))
    for grant in ended:
        check_restoration(grant, at)
    if denial is not None:
        _check_denial(denial, at)
        end_grant(denial, reason, actor, at)
    for grant in ended:
        change_grant(grant, "grant.restore", {"revoked_at": None}, reason, actor, at)
    undone = Revocation(ended=ended, denial=denial)
    if undone.changed:
        store_answer(part.consumer, at)
    return undone


def _check_denial(denial: Grant, at: datetime) -> None:
    if at - denial.valid_from >= UNDO_FOR:
        minutes = int(UNDO_FOR.total_seconds()) // 60
        raise NotRestorable(
            f"A feature that was taken away can be given back for {minutes} minutes: "
            "revoke the denial, or give a grant."
        )
    last = AuditEntry.objects.filter(object_kind="grant", object_id=denial.public_id)
    if last.exclude(act="grant.deny").exists():
        raise NotRestorable("The denial was changed since: look at it again.")
