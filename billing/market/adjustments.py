"""Changing a creator's balance by hand: asked for, agreed to where a second person must, written.

Where a second person begins is the project's limit for refunds: both give money away.
"""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs

from billing.market import desk
from billing.models import Adjustment, AdjustmentState, BillingPolicy, Creator
from billing.money import refuse_parts
from billing.refund_blocks import second_person_reason
from billing.refund_desk import DEFAULT_APPROVAL_HOURS, actor_of
from config.errors import Conflict, DomainError, IdempotencyConflict, InvalidInput
from keystore import audit

ASK = "billing.adjust_creator"
AGREE = "billing.approve_adjustment"
SYSTEM = "system"
COUNTED = timedelta(days=30)
COUNTING = (AdjustmentState.AWAITING, AdjustmentState.DONE)


class AdjustmentNotAllowed(DomainError):
    code = "adjustment_not_allowed"
    status = 403


class AdjustmentNotOpen(Conflict):
    """Somebody decided it before, or nobody did in time."""

    code = "adjustment_not_open"


class OwnAdjustment(Conflict):
    code = "adjustment_needs_second_person"


@transaction.atomic
def request_adjustment(
    *,
    creator: Creator,
    amount_minor: int,
    currency: str,
    wish: str,
    reason: str,
    person: User,
    at: datetime,
) -> Adjustment:
    """Add to the balance, or take from it; on the ledger at once unless a second person must
    agree first. The same wish again is the first request.

    Raises AdjustmentNotAllowed, InvalidInput, IdempotencyConflict; then nothing was changed.
    """
    _require(person, ASK)
    _refuse_odd(amount_minor, currency)
    locked = Creator.objects.select_for_update(of=("self",), no_key=True).get(pk=creator.pk)
    known = _known(wish, (locked.pk, amount_minor, currency, actor_of(person)))
    if known is not None:
        return known
    why = _why_two(locked, amount_minor, currency, actor_of(person), at)
    row = Adjustment(
        project_id=locked.project_id,
        creator=locked,
        currency=currency,
        amount_minor=amount_minor,
        reason=reason,
        wish=wish,
        state=AdjustmentState.AWAITING,
        requested_by=actor_of(person),
        expires_at=at + _time_to_agree(locked) if why else None,
        created_at=at,
    )
    if why:
        row.save()
        _record(row, "adjustment.request", actor_of(person), reason, at, why_second_person=why)
    else:
        _carry_out(row, at)
    return row


@transaction.atomic
def approve_adjustment(
    *, adjustment: Adjustment, person: User, reason: str, at: datetime
) -> Adjustment:
    """Agree to another person's: it is on the ledger. Raises OwnAdjustment, AdjustmentNotOpen,
    AdjustmentNotAllowed.
    """
    _require(person, AGREE)
    row = _lock(adjustment)
    if actor_of(person) == row.requested_by:
        raise OwnAdjustment("You asked for this adjustment: a second person has to agree.")
    _require_waiting(row)
    if row.expires_at is not None and row.expires_at <= at:
        raise AdjustmentNotOpen("This adjustment expired: ask for it anew.")
    _require_asker(row)
    _decide(row, actor_of(person), reason, at)
    _record(row, "adjustment.approve", actor_of(person), reason, at)
    _carry_out(row, at)
    return row


@transaction.atomic
def reject_adjustment(
    *, adjustment: Adjustment, person: User, reason: str, at: datetime
) -> Adjustment:
    """Refuse one that waits, or withdraw one's own. Raises AdjustmentNotOpen,
    AdjustmentNotAllowed.
    """
    row = _lock(adjustment)
    own = actor_of(person) == row.requested_by
    _require(person, ASK if own else AGREE)
    _require_waiting(row)
    _decide(row, "" if own else actor_of(person), reason, at)
    _end(row, AdjustmentState.REJECTED)
    act = "adjustment.withdraw" if own else "adjustment.reject"
    _record(row, act, actor_of(person), reason, at)
    return row


def expire_adjustments(*, at: datetime) -> int:
    """End those to which nobody agreed in time. Returns how many."""
    late = Adjustment.objects.filter(state=AdjustmentState.AWAITING, expires_at__lte=at)
    return sum(_expire(row, at) for row in late.order_by("expires_at")[:100])


@transaction.atomic
def _expire(adjustment: Adjustment, at: datetime) -> bool:
    row = _lock(adjustment)
    if row.state != AdjustmentState.AWAITING:
        return False
    _decide(row, SYSTEM, "nobody agreed in time", at)
    _end(row, AdjustmentState.EXPIRED)
    _record(row, "adjustment.expire", SYSTEM, "nobody agreed in time", at)
    return True


def _refuse_odd(amount_minor: int, currency: str) -> None:
    if amount_minor == 0:
        raise InvalidInput("An adjustment is more or less than nothing.")
    refuse_parts(amount_minor, currency)


def _known(wish: str, asked: tuple[object, ...]) -> Adjustment | None:
    found = Adjustment.objects.filter(wish=wish).first()
    if found is None:
        return None
    if (found.creator_id, found.amount_minor, found.currency, found.requested_by) != asked:
        raise IdempotencyConflict(f"This form made {found} before. Open the page anew.")
    return found


def _why_two(creator: Creator, amount_minor: int, currency: str, asker: str, at: datetime) -> str:
    """Counted over what the creator was given and taken by hand lately: small parts add up."""
    rows = Adjustment.objects.filter(
        creator=creator, currency=currency, state__in=COUNTING, created_at__gt=at - COUNTED
    )
    before = rows.aggregate(sum=Sum(Abs("amount_minor")))["sum"] or 0
    return second_person_reason(
        project_id=creator.project_id,
        currency=currency,
        in_all_minor=int(before) + abs(amount_minor),
        asker=asker,
        words=("adjustment", "per creator in 30 days"),
        at=at,
    )


def _time_to_agree(creator: Creator) -> timedelta:
    policy = BillingPolicy.objects.filter(project=creator.project_id).first()
    return timedelta(hours=policy.refund_approval_hours if policy else DEFAULT_APPROVAL_HOURS)


def _carry_out(row: Adjustment, at: datetime) -> None:
    row.earning = desk.adjust(
        creator=row.creator,
        amount_minor=row.amount_minor,
        currency=row.currency,
        source=row.public_id,
        actor=row.requested_by,
        reason=row.reason,
        at=at,
    )
    row.state = AdjustmentState.DONE
    row.save()


def _lock(adjustment: Adjustment) -> Adjustment:
    """The creator first, as everywhere."""
    Creator.objects.select_for_update(of=("self",), no_key=True).get(pk=adjustment.creator_id)
    rows = Adjustment.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("creator__consumer", "project").get(pk=adjustment.pk)


def _require(person: User, permission: str) -> None:
    """As the tables say now: a right taken away since the page was opened is gone."""
    fresh = User.objects.filter(pk=person.pk).first()
    if fresh is None or not fresh.has_perm(permission):
        raise AdjustmentNotAllowed("You may not do this: ask somebody with the permission.")


def _require_asker(row: Adjustment) -> None:
    name = row.requested_by.removeprefix("staff:")
    asker = User.objects.filter(username=name).first()
    if asker is None or not asker.has_perm(ASK):
        raise AdjustmentNotAllowed(f"{name} may not adjust balances any more: reject this.")


def _require_waiting(row: Adjustment) -> None:
    if row.state != AdjustmentState.AWAITING:
        by = f" by {row.decided_by}" if row.decided_by else ""
        raise AdjustmentNotOpen(f"This adjustment is {row.state}{by} already: nothing was changed.")


def _decide(row: Adjustment, by: str, reason: str, at: datetime) -> None:
    row.decided_by, row.decided_at, row.decision_reason = by, at, reason
    row.save(update_fields=["decided_by", "decided_at", "decision_reason"])


def _end(row: Adjustment, state: AdjustmentState) -> None:
    row.state = state
    row.save(update_fields=["state"])


def _record(
    row: Adjustment, act: str, actor: str, reason: str, at: datetime, **more: object
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=row,
        project=row.project,
        consumer=row.creator.consumer,
        after={"amount_minor": row.amount_minor, "currency": row.currency, **more},
        reason=reason,
        at=at,
    )
