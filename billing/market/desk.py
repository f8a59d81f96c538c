"""What staff do to a creator's money; each act is on record with its reason."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.models import Commission, Creator, Earning, EarningKind
from billing.money import shown
from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.ids import new_id


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
    *, creator: Creator, amount_minor: int, currency: str, actor: str, reason: str, at: datetime
) -> Earning:
    """Add to the balance, or take from it; it may become negative."""
    if amount_minor == 0:
        raise InvalidInput("An adjustment is more or less than nothing.")
    line = Earning.objects.create(
        project_id=creator.project_id,
        creator=creator,
        kind=EarningKind.ADJUSTMENT,
        currency=currency,
        amount_minor=amount_minor,
        source=new_id("adj"),
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
    creator: Creator,
    basis_points: int,
    effective_from: datetime,
    actor: str,
    reason: str,
    at: datetime,
) -> Commission:
    """What the platform keeps of the creator's sales from an instant on, which is not past: what
    was sold stays as it was sold. Raises InvalidInput, CommissionTaken.
    """
    if effective_from < at:
        raise InvalidInput("A commission begins now or later: past sales stay as they are.")
    try:
        with transaction.atomic():
            row = Commission.objects.create(
                project_id=creator.project_id,
                creator=creator,
                basis_points=basis_points,
                effective_from=effective_from,
                set_by=actor,
                created_at=at,
            )
    except IntegrityError as twin:
        if "commission_once_per_instant" not in str(twin):
            raise
        raise CommissionTaken("Another commission begins at this instant.") from twin
    after = {"basis_points": basis_points, "effective_from": effective_from}
    _record(creator, "creator.set_commission", actor, reason, at, after)
    return row


def told(line: Earning) -> str:
    return f"{shown(line.amount_minor, line.currency)} is on the ledger as {line.public_id}."


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
