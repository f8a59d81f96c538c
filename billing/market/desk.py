"""What staff do to a creator's money; each act is on record with its reason."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.models import Commission, Creator, Earning, EarningKind
from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.models import Project


class CommissionTaken(Conflict):
    code = "commission_taken"


@transaction.atomic
def pause_payouts(*, creator: Creator, paused: bool, actor: str, reason: str, at: datetime) -> bool:
    """Hold payouts back, or let them go on; False when it was so before. What is under way goes
    on.
    """
    rows = Creator.objects.filter(pk=creator.pk, payouts_paused_at__isnull=paused)
    changed = rows.update(payouts_paused_at=at if paused else None)
    if changed:
        act = "creator.pause_payouts" if paused else "creator.resume_payouts"
        _record(creator, act, actor, reason, at, {"paused": paused})
    return bool(changed)


@transaction.atomic
def adjust(
    *,
    creator: Creator,
    amount_minor: int,
    currency: str,
    source: str,
    actor: str,
    reason: str,
    at: datetime,
) -> Earning:
    """Add to the balance, or take from it; it may become negative. `source`: the adjustment that
    was asked for and, where it must be, agreed to.
    """
    line = Earning.objects.create(
        project_id=creator.project_id,
        creator=creator,
        kind=EarningKind.ADJUSTMENT,
        currency=currency,
        amount_minor=amount_minor,
        source=source,
        reason=reason,
        occurred_at=at,
        created_at=at,
    )
    after = {"amount_minor": amount_minor, "currency": currency, "earning": line.public_id}
    _record(creator, "creator.adjust", actor, reason, at, after)
    return line


@transaction.atomic
def set_commission(
    *,
    project: Project,
    creator: Creator | None = None,
    basis_points: int,
    effective_from: datetime,
    actor: str,
    reason: str,
    at: datetime,
) -> Commission:
    """What the platform keeps of sales from an instant on, which is not past: what was sold stays
    as it was sold. Of one creator's, or of all whose creators have none of their own. Raises
    InvalidInput, CommissionTaken.
    """
    if effective_from < at:
        raise InvalidInput("A commission begins now or later: past sales stay as they are.")
    row = _insert_commission(
        project=project,
        creator=creator,
        basis_points=basis_points,
        effective_from=effective_from,
        set_by=actor,
        created_at=at,
    )
    after = {"basis_points": basis_points, "effective_from": effective_from}
    audit.record(
        actor=actor,
        act="creator.set_commission" if creator else "market.set_commission",
        target=creator or row,
        project=project,
        consumer=creator.consumer if creator else None,
        after=after,
        reason=reason,
        at=at,
    )
    return row


def _insert_commission(**columns: object) -> Commission:
    try:
        with transaction.atomic():
            return Commission.objects.create(**columns)
    except IntegrityError as twin:
        if "commission_once_per_instant" not in str(twin):
            raise
        raise CommissionTaken("Another commission begins at this instant.") from twin


def _record(
    creator: Creator, act: str, actor: str, reason: str, at: datetime, after: object
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=creator,
        consumer=creator.consumer,
        after=after,
        reason=reason,
        at=at,
    )
