"""Packs of units on top of a plan: given, taken back, run out. Every movement is an entry."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from config.errors import IdempotencyConflict, InvalidInput
from keystore import audit
from keystore.models import Consumer, Project
from metering.errors import PackNotFound
from metering.models import CreditEntry, CreditKind, CreditPack, CreditSource, Meter

MOST = Decimal(10) ** 20
MOST_AT_ONCE = 500
USUAL_PRIORITY = 100


@transaction.atomic
def give_credits(
    *,
    consumer: Consumer,
    meter: Meter,
    amount: Decimal | int,
    priority: int = USUAL_PRIORITY,
    expires_at: datetime | None = None,
    source: str = CreditSource.STAFF,
    source_ref: str = "",
    reason: str,
    given_by: str,
    idempotency_key: str,
    actor: str,
    at: datetime,
) -> CreditPack:
    """A pack of `amount` units, burnt after the plan's limit; priority 1 burns first, 255 last.

    The same key and wish gives the first pack again; another wish raises IdempotencyConflict.
    """
    _check(consumer, meter, Decimal(amount), priority, expires_at, at)
    wish: dict[str, Any] = {"meter": meter, "amount": Decimal(amount), "priority": priority}
    wish |= {"expires_at": expires_at, "source": source, "source_ref": source_ref}
    wish |= {"reason": reason, "given_by": given_by}
    pack, is_new = CreditPack.objects.get_or_create(
        consumer=consumer,
        idempotency_key=idempotency_key,
        defaults={**wish, "project": consumer.project, "remaining": amount, "created_at": at},
    )
    if is_new:
        _enter(pack, CreditKind.GIVEN, pack.amount, at)
        told = {"meter": meter.code, "amount": pack.amount, "expires_at": expires_at}
        _record(pack, "credits.give", actor, reason, at, after=told)
    elif any(getattr(pack, name) != value for name, value in wish.items()):
        raise IdempotencyConflict("This key gave other credits before: use a new key.")
    return pack


@transaction.atomic
def revoke_credits(*, pack: CreditPack, reason: str, actor: str, at: datetime) -> Decimal:
    """Take back what the pack has left; returns how much that was. 0 when there was nothing.

    What a reservation holds of it is taken when the reservation gives it back.
    """
    locked = _locked(pack)
    if locked.revoked_at is not None:
        return Decimal(0)
    left: Decimal = locked.remaining
    locked.revoked_at = at
    locked.save(update_fields=["revoked_at"])
    _empty(locked, CreditKind.REVOKED, at)
    was, is_now = {"remaining": left}, {"remaining": 0}
    _record(locked, "credits.revoke", actor, reason, at, before=was, after=is_now)
    return left


def expire_credits(*, at: datetime) -> int:
    """Write off what ran out, or came back to a pack that was taken back; how many packs.

    Nobody could spend it any more: this only makes the ledger say so.
    """
    gone = Q(expires_at__lte=at) | Q(revoked_at__isnull=False)
    ended = 0
    for pack in CreditPack.objects.filter(gone, remaining__gt=0).order_by("pk")[:MOST_AT_ONCE]:
        with transaction.atomic():
            locked = _locked(pack)
            if locked.remaining:
                kind = CreditKind.REVOKED if locked.revoked_at else CreditKind.EXPIRED
                _empty(locked, kind, at)
                ended += 1
    return ended


def pack_by_id(*, project: Project, pack_id: str) -> CreditPack:
    """The project's pack. Raises PackNotFound."""
    found = CreditPack.objects.filter(project=project, public_id=pack_id)
    pack = found.select_related("consumer", "meter").first()
    if pack is None:
        raise PackNotFound("There are no such credits: list them with ?user_id=.")
    return pack


def _check(
    consumer: Consumer,
    meter: Meter,
    amount: Decimal,
    priority: int,
    expires_at: datetime | None,
    at: datetime,
) -> None:
    if meter.project_id != consumer.project_id:
        raise InvalidInput("The meter belongs to another project.")
    if meter.feature_id is None:
        raise InvalidInput("This meter has no limit that credits could extend: choose another.")
    if not 0 < amount <= MOST:
        raise InvalidInput("Give more than 0 units, and not more than 10 to the power of 20.")
    if not 1 <= priority <= 255:
        raise InvalidInput("A priority is 1 (burns first) to 255 (burns last).")
    if expires_at is not None and expires_at <= at:
        raise InvalidInput("The credits would have run out already: choose a later expiry.")


def _locked(pack: CreditPack) -> CreditPack:
    """Whatever changes what remains of a consumer's packs of one meter waits for the others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_lock_credits(%s, %s)", [pack.consumer_id, pack.meter_id])
    rows = CreditPack.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("consumer", "meter").get(pk=pack.pk)


def _empty(pack: CreditPack, kind: CreditKind, at: datetime) -> None:
    if pack.remaining:
        _enter(pack, kind, -pack.remaining, at)
        pack.remaining = Decimal(0)
        pack.save(update_fields=["remaining"])


def _enter(pack: CreditPack, kind: CreditKind, delta: Decimal, at: datetime) -> None:
    CreditEntry.objects.create(pack=pack, kind=kind, delta=delta, created_at=at)


def _record(
    pack: CreditPack,
    act: str,
    actor: str,
    reason: str,
    at: datetime,
    *,
    before: object = None,
    after: object = None,
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=pack,
        consumer=pack.consumer,
        before=before,
        after=after,
        reason=reason,
        at=at,
    )
