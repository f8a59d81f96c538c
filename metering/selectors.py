"""What is left: quotas of many consumers and meters in a few queries."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import Q, QuerySet, Sum

from entitlements.models import Answer, Enforcement
from entitlements.selectors import answer_of
from keystore.models import Consumer, Project
from metering.errors import UnknownMeter
from metering.limits import Terms, terms_of
from metering.models import CreditPack, Cycle, Meter, QuotaBalance, Reservation, ReservationState
from metering.periods import Period, period_of
from metering.quotas import Left

Pair = tuple[int, int]  # of consumer and meter
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class QuotaShown:
    """One consumer's quota of one meter at an instant: what holds, and what is left."""

    meter: Meter
    terms: Terms
    period: Period
    left: Left

    @property
    def resets_at(self) -> datetime | None:
        """None: it never starts anew."""
        return self.period.end

    @property
    def enforcement(self) -> str:
        return Enforcement.HARD if self.terms.hard else Enforcement.SOFT


def quota_of(*, consumer: Consumer, at: datetime, meter: Meter | None = None) -> list[QuotaShown]:
    """What the consumer has left of each limit that it is entitled to, by the meter's code."""
    meters = [meter] if meter else list(limited_meters(project=consumer.project))
    answers = {consumer.pk: entitlements_now(consumer=consumer, at=at)}
    shown = quotas_of(consumers=[consumer], meters=meters, answers=answers, at=at)
    return [quota for quota in shown.values() if quota.terms.entitled]


def quotas_of(
    *,
    consumers: Collection[Consumer],
    meters: Collection[Meter],
    answers: Mapping[int, list[dict[str, Any]]],
    at: datetime,
) -> dict[Pair, QuotaShown]:
    """For every pair of consumer and meter; `answers` holds each consumer's entitlements.

    Four queries, however many pairs.
    """
    cycles = {cycle.consumer_id: cycle for cycle in Cycle.objects.filter(consumer__in=consumers)}
    held: dict[Pair, tuple[Meter, Terms, Period]] = {}
    for consumer in consumers:
        for meter in meters:
            assert meter.feature is not None  # only limited meters are asked for
            terms = terms_of(answers[consumer.pk], meter.feature.code)
            period = period_of(reset=terms.reset, cycle=cycles.get(consumer.pk), at=at)
            held[consumer.pk, meter.pk] = (meter, terms, period)
    balances = _balances(consumers, meters, {period.start for _, _, period in held.values()})
    freed = _expired(balances.values(), at)
    credits = _credits(consumers, meters, at)
    return {
        pair: QuotaShown(
            meter,
            terms,
            period,
            _left(terms, balances.get((*pair, period.start)), freed, credits.get(pair, ZERO)),
        )
        for pair, (meter, terms, period) in held.items()
    }


def entitlements_now(*, consumer: Consumer, at: datetime) -> list[dict[str, Any]]:
    """The entitlements of the consumer's ready answer."""
    found: list[dict[str, Any]] = orjson.loads(answer_of(consumer=consumer, at=at).body)[
        "entitlements"
    ]
    return found


def answers_of(*, consumers: Collection[Consumer], at: datetime) -> dict[int, dict[str, Any]]:
    """The ready answers of many consumers in one query; only those that ran out are made anew."""
    current = Q(changes_at=None) | Q(changes_at__gt=at)
    rows = Answer.objects.filter(current, consumer__in=consumers)
    found = {answer.consumer_id: answer.body for answer in rows}
    return {
        consumer.pk: orjson.loads(
            found.get(consumer.pk) or answer_of(consumer=consumer, at=at).body
        )
        for consumer in consumers
    }


def limited_meters(*, project: Project) -> QuerySet[Meter]:
    """Meters in use whose usage consumes a feature's limit."""
    meters = Meter.objects.filter(project=project, feature__isnull=False, archived_at=None)
    return meters.select_related("feature").order_by("code")


def meter_by_code(*, project: Project, code: str, location: str = "body.meter") -> Meter:
    """The project's meter. Raises UnknownMeter, which lists those that exist."""
    meters = Meter.objects.filter(project=project, archived_at=None)
    found = meters.filter(code=code).select_related("feature").first()
    if found is None:
        codes = list(meters.order_by("code").values_list("code", flat=True)[:50])
        fix = f"Use one of: {', '.join(codes)}." if codes else "Define one first."
        raise UnknownMeter(
            f"There is no meter {code!r} in this project.",
            errors=[{"location": location, "message": f"{code!r} is not known.", "fix": fix}],
        )
    return found


def credits_of(*, consumer: Consumer) -> QuerySet[CreditPack]:
    """Every pack the consumer was given, in the order in which they burn."""
    packs = CreditPack.objects.filter(consumer=consumer).select_related("meter", "consumer")
    return packs.order_by("meter__code", "priority", "expires_at", "pk")


def _left(
    terms: Terms,
    balance: QuotaBalance | None,
    freed: Mapping[int, tuple[Decimal, Decimal]],
    credits: Decimal,
) -> Left:
    if balance is None:
        return Left(terms.limit, ZERO, ZERO, ZERO, credits)
    free, returned = freed.get(balance.pk, (ZERO, ZERO))
    return Left(
        limit=terms.limit,
        used=balance.used,
        reserved=balance.reserved - free,
        from_credits=balance.from_credits - returned,
        credits=credits + returned,
    )


def _balances(
    consumers: Collection[Consumer], meters: Collection[Meter], starts: set[datetime]
) -> dict[tuple[int, int, datetime], QuotaBalance]:
    rows = QuotaBalance.objects.filter(
        consumer__in=consumers, meter__in=meters, period_start__in=starts
    )
    return {(row.consumer_id, row.meter_id, row.period_start): row for row in rows}


def _expired(
    balances: Collection[QuotaBalance], at: datetime
) -> dict[int, tuple[Decimal, Decimal]]:
    """What is kept back past its time: it counts as free, whether a job has run or not."""
    keeping = [balance.pk for balance in balances if balance.reserved]
    if not keeping:
        return {}
    rows = Reservation.objects.filter(
        balance__in=keeping, state=ReservationState.HELD, expires_at__lte=at
    )
    sums = rows.values_list("balance").annotate(Sum("quantity"), Sum("from_credits"))
    return {balance: (quantity, credits) for balance, quantity, credits in sums}


def _credits(
    consumers: Collection[Consumer], meters: Collection[Meter], at: datetime
) -> dict[Pair, Decimal]:
    good = Q(expires_at=None) | Q(expires_at__gt=at)
    packs = CreditPack.objects.filter(
        good, consumer__in=consumers, meter__in=meters, remaining__gt=0, revoked_at=None
    )
    sums = packs.values_list("consumer", "meter").annotate(Sum("remaining"))
    return {(consumer, meter): remaining for consumer, meter, remaining in sums}
