"""What two consumers used becomes what one has used: each event once, each limit once.

Events are only ever added; here they change their owner and nothing else, so that totals, proofs
and what was told to Stripe stay what they were. Of limits the running period counts both.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Sum, Value
from django.db.models.functions import Concat

from entitlements.models import Enforcement
from keystore.locking import upsert
from keystore.merging import Moved
from keystore.models import Consumer
from metering.limits import Terms, terms_of
from metering.models import (
    Aggregation,
    CreditPack,
    Cycle,
    Meter,
    QuotaBalance,
    QuotaUnique,
    Reservation,
    ReservationState,
    UsageDistinct,
    UsageEvent,
    UsageTotal,
    Watermark,
)
from metering.periods import Period, period_of
from metering.rollup import ADD, MARK
from metering.selectors import entitlements_now, limited_meters
from metering.usage import STANDING

TOTALS = f"""
INSERT INTO metering_usagetotal AS t (project_id, meter_id, consumer_id, api_id, key_id, dims,
    grain, bucket, quantity, events, maximum, latest, latest_at)
SELECT project_id, meter_id, %(survivor)s, api_id, key_id, dims, grain, bucket, quantity, events,
    maximum, latest, latest_at
FROM metering_usagetotal WHERE consumer_id = %(duplicate)s
{ADD}
"""
DISTINCT = """
INSERT INTO metering_usagedistinct
    (project_id, meter_id, consumer_id, api_id, key_id, dims, bucket, value)
SELECT project_id, meter_id, %(survivor)s, api_id, key_id, dims, bucket, value
FROM metering_usagedistinct WHERE consumer_id = %(duplicate)s
ON CONFLICT DO NOTHING
"""
USED = f"""
SELECT coalesce(sum(e.quantity), 0), count(*), coalesce(max(e.quantity), 0),
    (max(ARRAY[extract(epoch FROM e.counts_at), e.quantity]))[2], max(e.counts_at),
    coalesce(array_agg(DISTINCT e.unique_value), '{{}}'), coalesce(sum(e.from_credits), 0)
FROM metering_usageevent AS e
WHERE e.consumer_id = %(consumer)s AND e.meter_id = %(meter)s AND e.counts_at >= %(start)s
  AND (%(end)s::timestamptz IS NULL OR e.counts_at < %(end)s) AND {STANDING}
"""
ZERO = Decimal(0)


@dataclass
class Share:
    """What one of the two adds to a balance."""

    used: Decimal = ZERO
    from_credits: Decimal = ZERO
    reserved: Decimal = ZERO
    latest_at: datetime | None = None
    values: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Running:
    """A limit of the survivor in the period that runs, and what each of the two used in it."""

    meter: Meter
    terms: Terms
    period: Period
    shares: list[Share]

    @property
    def place(self) -> tuple[int, datetime]:
        return self.meter.pk, self.period.start


@transaction.atomic
def hand_over_usage(
    *, duplicate: Consumer, survivor: Consumer, cycle_of: Consumer, at: datetime
) -> Moved:
    """Usage, credits, balances and reservations of the duplicate become the survivor's.

    `cycle_of`: whose billing periods hold from now on. The survivor's answer is the merged one
    already, and both consumers are held by the caller. Safe to repeat.
    """
    cycle = _choose_cycle(duplicate, survivor, cycle_of)
    if not _has_any(duplicate):
        return {"usage events": 0, "credit packs": 0}
    # Nothing is rolled up meanwhile: an event is in the totals of its owner, or not yet in any.
    Watermark.objects.select_for_update(no_key=True).filter(name=MARK).first()
    running = _running(duplicate, survivor, cycle, at)
    events = UsageEvent.objects.filter(consumer=duplicate).update(consumer=survivor)
    _move_totals(duplicate, survivor)
    packs = _move_packs(duplicate, survivor)
    _move_balances(duplicate, survivor, {limit.place for limit in running})
    for limit in running:
        _count(limit, survivor)
    return {"usage events": events, "credit packs": packs}


def _has_any(duplicate: Consumer) -> bool:
    tables = (UsageEvent, UsageTotal, UsageDistinct, QuotaBalance, CreditPack)
    return any(table._default_manager.filter(consumer=duplicate).exists() for table in tables)


def _choose_cycle(duplicate: Consumer, survivor: Consumer, cycle_of: Consumer) -> Cycle | None:
    if cycle_of.pk == duplicate.pk and Cycle.objects.filter(consumer=duplicate).exists():
        Cycle.objects.filter(consumer=survivor).delete()
        Cycle.objects.filter(consumer=duplicate).update(consumer=survivor)
    Cycle.objects.filter(consumer=duplicate).delete()
    return Cycle.objects.filter(consumer=survivor).first()


def _running(
    duplicate: Consumer, survivor: Consumer, cycle: Cycle | None, at: datetime
) -> list[Running]:
    entitlements = entitlements_now(consumer=survivor, at=at)
    found = []
    for meter in limited_meters(project=survivor.project):
        assert meter.feature is not None  # only limited meters are asked for
        terms = terms_of(entitlements, meter.feature.code)
        if not terms.entitled:
            continue
        period = period_of(reset=terms.reset, cycle=cycle, at=at)
        shares = [_share(one, meter, period) for one in (survivor, duplicate)]
        if any(share is not None for share in shares):
            found.append(Running(meter, terms, period, [share or Share() for share in shares]))
    return found


def _share(consumer: Consumer, meter: Meter, period: Period) -> Share | None:
    """By the balance of this very period; by its events where the owner counted other periods.
    None: nothing was used or kept back.
    """
    rows = QuotaBalance.objects.select_for_update(no_key=True).filter(
        consumer=consumer, meter=meter
    )
    balance = rows.filter(period_start=period.start).first()
    if balance is not None and balance.period_end == period.end:
        return _share_of(balance)
    share = _used(consumer, meter, period)
    if balance is not None and balance.reserved:
        share.reserved = balance.reserved
        share.from_credits += _held_credits(balance)
    return share if share.used or share.values or share.reserved else None


def _share_of(balance: QuotaBalance) -> Share:
    values = list(balance.unique_values.values_list("value", flat=True))
    return Share(balance.used, balance.from_credits, balance.reserved, balance.latest_at, values)


def _held_credits(balance: QuotaBalance) -> Decimal:
    held = balance.reservations.filter(state=ReservationState.HELD)
    return held.aggregate(sum=Sum("from_credits"))["sum"] or ZERO


def _used(consumer: Consumer, meter: Meter, period: Period) -> Share:
    asked: dict[str, Any] = {
        "consumer": consumer.pk,
        "meter": meter.pk,
        "start": period.start,
        "end": period.end,
    }
    with connection.cursor() as cursor:
        cursor.execute(USED, asked)
        total, events, most, latest, latest_at, values, credits = cursor.fetchone()
    used = {
        Aggregation.SUM: total,
        Aggregation.COUNT: Decimal(events),
        Aggregation.MAX: most,
        Aggregation.LATEST: latest or ZERO,
        Aggregation.UNIQUE: Decimal(len(values)),
    }[Aggregation(meter.aggregation)]
    is_unique = meter.aggregation == Aggregation.UNIQUE
    latest_at = latest_at if meter.aggregation == Aggregation.LATEST else None
    return Share(max(used, ZERO), credits, ZERO, latest_at, values if is_unique else [])


def _move_totals(duplicate: Consumer, survivor: Consumer) -> None:
    pair = {"duplicate": duplicate.pk, "survivor": survivor.pk}
    with connection.cursor() as cursor:
        cursor.execute(TOTALS, pair)
        cursor.execute(DISTINCT, pair)
    UsageTotal.objects.filter(consumer=duplicate).delete()
    UsageDistinct.objects.filter(consumer=duplicate).delete()


def _move_packs(duplicate: Consumer, survivor: Consumer) -> int:
    own = CreditPack.objects.filter(consumer=survivor).values("idempotency_key")
    CreditPack.objects.filter(consumer=duplicate, idempotency_key__in=own).update(
        idempotency_key=Concat(Value(f"{duplicate.public_id}:"), F("public_id"))
    )
    return CreditPack.objects.filter(consumer=duplicate).update(consumer=survivor)


def _move_balances(
    duplicate: Consumer, survivor: Consumer, running: Collection[tuple[int, datetime]]
) -> None:
    """Of two balances of one start one stays. Those of `running` limits are counted by `_count`."""
    rows = QuotaBalance.objects.select_for_update(of=("self",), no_key=True).select_related("meter")
    own = {(row.meter_id, row.period_start): row for row in rows.filter(consumer=survivor)}
    for row in rows.filter(consumer=duplicate).order_by("pk"):
        place = (row.meter_id, row.period_start)
        twin = own.get(place)
        if twin is None:
            QuotaBalance.objects.filter(pk=row.pk).update(consumer=survivor)
            continue
        if place not in running:
            _add(twin, row.meter, _share_of(row))
            _save(twin)
        Reservation.objects.filter(balance=row).update(balance=twin)
        row.delete()


def _count(limit: Running, survivor: Consumer) -> None:
    """Bring the survivor's balance of the running period up to what both have used in it."""
    hard = Enforcement.HARD if limit.terms.hard else Enforcement.SOFT
    terms = {
        "period_end": limit.period.end,
        "limit": limit.terms.limit,
        "enforcement": hard,
    }
    balance, _ = upsert(
        QuotaBalance,
        consumer=survivor,
        meter=limit.meter,
        period_start=limit.period.start,
        defaults=terms,
        create_defaults={**terms, "project_id": survivor.project_id},
    )
    balance.unique_values.all().delete()
    balance.used = balance.from_credits = balance.reserved = ZERO
    balance.latest_at = None
    for share in limit.shares:
        _add(balance, limit.meter, share)
    _save(balance)


def _add(balance: QuotaBalance, meter: Meter, share: Share) -> None:
    kind = Aggregation(meter.aggregation)
    if kind == Aggregation.MAX:
        balance.used = max(balance.used, share.used)
    elif kind == Aggregation.LATEST:
        if share.latest_at and (balance.latest_at is None or share.latest_at > balance.latest_at):
            balance.used, balance.latest_at = share.used, share.latest_at
    elif kind == Aggregation.UNIQUE:
        balance.used += _add_values(balance, share.values)
    else:
        balance.used += share.used
    balance.reserved += share.reserved
    # Of two values of which one counts, credits may have paid for more than is left.
    most = balance.used + balance.reserved
    balance.from_credits = min(balance.from_credits + share.from_credits, most)


def _save(balance: QuotaBalance) -> None:
    balance.warn_due = True  # the job that warns finds out which thresholds are new
    balance.save(update_fields=["used", "reserved", "from_credits", "latest_at", "warn_due"])


def _add_values(balance: QuotaBalance, values: Iterable[str]) -> int:
    """Values that both have seen count once; how many are new."""
    known = set(balance.unique_values.values_list("value", flat=True))
    new = sorted(set(values) - known)
    QuotaUnique.objects.bulk_create(QuotaUnique(balance=balance, value=value) for value in new)
    return len(new)
