"""Keeping a part of a quota back for a use that is not over: settled, released, or expired."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from config.errors import InvalidInput
from entitlements.models import Reset
from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.closing import closes_at
from metering.errors import (
    FeatureNotEntitled,
    ReservationEnded,
    ReservationExpired,
    ReservationNotFound,
    UsageExceeded,
)
from metering.models import (
    Aggregation,
    Cycle,
    Meter,
    QuotaBalance,
    Reservation,
    ReservationState,
    UsageEvent,
    UsageKey,
)
from metering.periods import period_of
from metering.quotas import (
    TAKE,
    Verdict,
    fingerprint,
    left_after,
    nothing_left,
    row_of,
    standing_of,
    terms_for_sql,
)
from metering.told import EXACT

LONGEST = timedelta(days=1)
USUAL_SECONDS = 600
MOST_AT_ONCE = 500  # that one turn of the sweeper ends
SOURCE = "latchkey:reservation"  # of the events that settle them
RESERVABLE = (Aggregation.SUM, Aggregation.COUNT)


@dataclass(frozen=True, slots=True)
class Held:
    """What came of the wish to keep something back; `reservation` None: it did not fit."""

    verdict: Verdict
    reservation: Reservation | None


def reserve_quota(
    *,
    consumer: Consumer,
    meter: Meter,
    quantity: Decimal | int,
    ttl_seconds: int = USUAL_SECONDS,
    at: datetime,
) -> Reservation:
    """Keep `quantity` back until it is settled or released, `ttl_seconds` at most.

    Raises UsageExceeded or FeatureNotEntitled when it may not be used.
    """
    held = hold(consumer=consumer, meter=meter, quantity=quantity, ttl_seconds=ttl_seconds, at=at)
    if held.reservation is None:
        raise refusal(held.verdict, at)
    return held.reservation


def refusal(verdict: Verdict, at: datetime) -> UsageExceeded | FeatureNotEntitled:
    """The error that says why `verdict` is no, and when to come back."""
    if verdict.code == FeatureNotEntitled.code:
        return FeatureNotEntitled("The user may not use this feature: offer a plan with it.")
    wait = None if verdict.resets_at is None else int((verdict.resets_at - at).total_seconds()) + 1
    return UsageExceeded(
        "This does not fit the limit: use less, wait until it resets, or buy credits.",
        retry_after_seconds=wait,
    )


@transaction.atomic
def hold(
    *,
    consumer: Consumer,
    meter: Meter,
    quantity: Decimal | int,
    ttl_seconds: int = USUAL_SECONDS,
    at: datetime,
) -> Held:
    """The same, answered instead of raised."""
    _check(meter, Decimal(quantity), ttl_seconds)
    standing = standing_of(consumer=consumer, meter=meter, at=at)
    if not standing.terms.entitled:
        return Held(Verdict(False, FeatureNotEntitled.code, nothing_left(), None), None)
    name = new_id("res")
    asked = [meter.project_id, consumer.pk, meter.pk, *terms_for_sql(standing, meter)]
    taken, balance, paid, *figures = row_of(TAKE, [*asked, quantity, True, at, name])
    verdict = Verdict(
        allowed=taken,
        code="" if taken else UsageExceeded.code,
        left=left_after(standing, figures),
        resets_at=standing.period.end,
    )
    if not taken:
        return Held(verdict, None)
    reservation = Reservation.objects.create(
        public_id=name,
        project=consumer.project,
        balance_id=balance,
        quantity=quantity,
        from_credits=paid,
        expires_at=_expiry(consumer, ttl_seconds, at),
        created_at=at,
    )
    return Held(verdict, reservation)


@transaction.atomic
def settle_reservation(
    *, reservation: Reservation, quantity: Decimal | int | None = None, at: datetime
) -> Reservation:
    """Use `quantity` of what was kept back (None: all of it) and free the rest.

    More than was kept back takes the difference, or raises UsageExceeded and keeps the reservation.
    The same again changes nothing; after its expiry it raises ReservationExpired.
    """
    balance, held = _locked(reservation)
    amount = held.quantity if quantity is None else Decimal(quantity)
    if held.state == ReservationState.SETTLED and held.settled_quantity == amount:
        return held
    _require_held(held, at)
    _check_settled(balance.meter, amount)
    if amount > held.quantity:
        _keep_more(balance, held, EXACT.subtract(amount, held.quantity), at)
    else:
        _free(balance, held, EXACT.subtract(held.quantity, amount), at)
    balance.reserved = EXACT.subtract(balance.reserved, amount)
    balance.used = EXACT.add(balance.used, amount)
    if balance.next_warning is not None and balance.used >= balance.next_warning:
        balance.warn_due = True
    balance.save(update_fields=["reserved", "used", "from_credits", "warn_due"])
    held.event = _record(balance, held, amount, at) if amount else None
    return _end(held, ReservationState.SETTLED, at, settled=amount)


@transaction.atomic
def release_reservation(*, reservation: Reservation, at: datetime) -> Reservation:
    """Free all that was kept back. Once it is free, however that came, this changes nothing."""
    balance, held = _locked(reservation)
    if held.state == ReservationState.SETTLED:
        raise ReservationEnded("This reservation was settled: void its event instead.")
    if held.state != ReservationState.HELD:
        return held
    late = held.expires_at <= at
    return _release(balance, held, ReservationState.EXPIRED if late else "released", at)


def expire_reservations(*, at: datetime) -> int:
    """Free what was kept back for too long; returns how many reservations ended.

    Whoever asks or takes counts them as free already: this tidies what nobody asks about.
    """
    due = Reservation.objects.filter(state=ReservationState.HELD, expires_at__lte=at)
    ended = 0
    for reservation in due.order_by("expires_at")[:MOST_AT_ONCE]:
        with transaction.atomic():
            balance, held = _locked(reservation)
            if held.state == ReservationState.HELD:
                _release(balance, held, ReservationState.EXPIRED, at)
                ended += 1
    return ended


def reservation_by_id(*, project: Project, reservation_id: str) -> Reservation:
    """The project's reservation. Raises ReservationNotFound."""
    found = Reservation.objects.filter(project=project, public_id=reservation_id)
    reservation = found.select_related("balance__meter", "balance__consumer").first()
    if reservation is None:
        raise ReservationNotFound("There is no such reservation in this project.")
    return reservation


def _expiry(consumer: Consumer, ttl_seconds: int, at: datetime) -> datetime:
    """Not after its billing period is closed: its use must still count in it."""
    cycle = Cycle.objects.filter(consumer=consumer).first()
    closes = closes_at(period_of(reset=Reset.BILLING_PERIOD, cycle=cycle, at=at))
    return min(filter(None, (at + timedelta(seconds=ttl_seconds), closes)))


def _check(meter: Meter, quantity: Decimal, ttl_seconds: int) -> None:
    if meter.aggregation not in RESERVABLE:
        raise InvalidInput("Only meters of kind sum and count can be reserved: tell the use.")
    if quantity <= 0 or (meter.aggregation == Aggregation.COUNT and quantity != 1):
        raise InvalidInput("Reserve more than 0; of a meter that counts, exactly 1.")
    if not 1 <= ttl_seconds <= LONGEST.total_seconds():
        raise InvalidInput("A reservation lasts 1 second to 24 hours.")


def _check_settled(meter: Meter, amount: Decimal) -> None:
    if amount < 0 or (meter.aggregation == Aggregation.COUNT and amount not in (0, 1)):
        raise InvalidInput("Settle 0 or more; of a meter that counts, 0 or 1.")


def _locked(reservation: Reservation) -> tuple[QuotaBalance, Reservation]:
    """The balance first, as everything that takes from it does; then what is true by now."""
    rows = QuotaBalance.objects.select_for_update(of=("self",), no_key=True)
    balance = rows.select_related("meter__feature", "consumer").get(reservations=reservation.pk)
    held = Reservation.objects.select_for_update(of=("self",), no_key=True).get(pk=reservation.pk)
    held.balance = balance
    return balance, held


def _require_held(held: Reservation, at: datetime) -> None:
    if held.state == ReservationState.EXPIRED or (
        held.state == ReservationState.HELD and held.expires_at <= at
    ):
        raise ReservationExpired(
            f"This reservation expired at {held.expires_at.isoformat()} and is free again: "
            "tell the use as a usage event."
        )
    if held.state != ReservationState.HELD:
        said = f"settled with {held.settled_quantity:f}" if held.event else held.state
        raise ReservationEnded(f"This reservation is {said} already: it cannot be settled again.")


def _keep_more(balance: QuotaBalance, held: Reservation, more: Decimal, at: datetime) -> None:
    standing = standing_of(consumer=balance.consumer, meter=balance.meter, at=held.created_at)
    terms = terms_for_sql(standing, balance.meter)
    if standing.period.start != balance.period_start:  # it resets otherwise since then
        hard = balance.enforcement == "hard"
        terms = [balance.period_start, balance.period_end, balance.limit, hard, terms[-1]]
    who = [balance.project_id, balance.consumer_id, balance.meter_id]
    taken, _, paid, *_ = row_of(TAKE, [*who, *terms, more, True, at, held.public_id])
    if not taken:
        raise UsageExceeded(
            "More was used than was kept back, and the rest does not fit the limit: "
            "settle what fits. The reservation is still held."
        )
    held.from_credits = EXACT.add(held.from_credits, paid)
    balance.refresh_from_db(fields=["used", "reserved", "from_credits", "next_warning", "warn_due"])


def _free(balance: QuotaBalance, held: Reservation, unused: Decimal, at: datetime) -> None:
    """Give `unused` of it back: to the credits what they paid, the rest to the limit."""
    returned = min(held.from_credits, unused)
    if returned:
        row_of("SELECT metering_return(%s, %s, %s)", [held.public_id, at, returned])
    held.from_credits = EXACT.subtract(held.from_credits, returned)
    balance.from_credits = EXACT.subtract(balance.from_credits, returned)
    balance.reserved = EXACT.subtract(balance.reserved, unused)


def _release(balance: QuotaBalance, held: Reservation, state: str, at: datetime) -> Reservation:
    kept = held.from_credits
    _free(balance, held, held.quantity, at)
    balance.save(update_fields=["reserved", "from_credits"])
    held.from_credits = kept  # what it had kept of them, for whoever looks
    return _end(held, state, at)


def _end(
    held: Reservation, state: str, at: datetime, settled: Decimal | None = None
) -> Reservation:
    held.state, held.ended_at, held.settled_quantity = state, at, settled
    held.save(update_fields=["state", "ended_at", "settled_quantity", "event", "from_credits"])
    return held


def _record(balance: QuotaBalance, held: Reservation, amount: Decimal, at: datetime) -> UUID:
    """The use as an event of its own, in the period that the reservation was made in."""
    event: UUID = row_of("SELECT metering_uuid(%s)", [at])[0]
    within = balance.period_end is None or at < balance.period_end
    UsageKey.objects.create(
        project_id=balance.project_id,
        source=SOURCE,
        event_id=held.public_id,
        fingerprint=fingerprint(balance.consumer, balance.meter, amount),
        event=event,
        received_at=at,
    )
    UsageEvent.objects.create(
        id=event,
        project_id=balance.project_id,
        consumer_id=balance.consumer_id,
        meter_id=balance.meter_id,
        source=SOURCE,
        event_id=held.public_id,
        quantity=amount,
        occurred_at=at,
        counts_at=at if within else held.created_at,
        received_at=at,
        from_credits=held.from_credits,
    )
    row_of("SELECT metering_hand_on(%s, %s, %s)", [held.public_id, str(event), at])
    return event
