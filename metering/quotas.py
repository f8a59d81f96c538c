"""Taking from a quota: may this be used now, and what is left then?"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from entitlements.selectors import answer_of
from keystore.ids import new_id
from keystore.models import Api, ApiKey, Consumer
from metering.errors import EventConflict
from metering.limits import Terms, terms_of
from metering.models import Cycle, Meter, QuotaBalance
from metering.periods import Period, period_of
from metering.told import EXACT

FIGURES = "used, reserved, covered, credits"
CONSUME = f"SELECT outcome, event, {FIGURES} FROM metering_consume({', '.join(['%s'] * 21)})"
TAKE = f"SELECT taken, balance, paid, {FIGURES} FROM metering_take({', '.join(['%s'] * 12)})"
# Of a meter that no feature limits: counted, never refused.
OPEN = Terms(entitled=True, limit=None, reset="never", hard=False)


@dataclass(frozen=True, slots=True)
class Left:
    """One consumer's quota of one meter. `limit` None: unlimited.

    `reserved` and `used` may lie above `limit`: by `from_credits`, or with a soft limit.
    """

    limit: Decimal | None
    used: Decimal
    reserved: Decimal
    from_credits: Decimal
    credits: Decimal

    @property
    def remaining(self) -> Decimal | None:
        """What is left of the limit itself, without credits."""
        if self.limit is None:
            return None
        return max(Decimal(0), self.limit - self.used - self.reserved + self.from_credits)

    @property
    def overage(self) -> Decimal:
        """What was used beyond limit and credits."""
        if self.limit is None:
            return Decimal(0)
        return max(Decimal(0), self.used - self.from_credits - self.limit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it was taken; `code` is empty then, else usage_exceeded or feature_not_entitled.

    `repeated`: the same event was taken before and is not taken again.
    """

    allowed: bool
    code: str
    left: Left
    resets_at: datetime | None  # None: never
    event: UUID | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a consumer's entitlements say of a meter at an instant, and the period of its limit."""

    terms: Terms
    period: Period


def take(
    *,
    consumer: Consumer,
    meter: Meter,
    quantity: Decimal | int,
    event_id: str,
    at: datetime,
    source: str = "",
    api: Api | None = None,
    key: ApiKey | None = None,
) -> Verdict:
    """Record one use of `meter` if it fits; the same `event_id` counts once, for ever.

    An empty `event_id` is a use of its own. Raises EventConflict if the id belongs to another use.
    """
    standing = standing_of(consumer=consumer, meter=meter, at=at)
    if not standing.terms.entitled:
        return Verdict(False, "feature_not_entitled", nothing_left(), None)
    event_id = event_id or new_id("use")
    asked = [
        *(meter.project_id, consumer.pk, meter.pk, api and api.pk, key and key.pk),
        *(source, event_id, fingerprint(consumer, meter, quantity)),
        *(quantity, "", at, at, at, "{}", meter.aggregation, meter.feature_id is not None),
        *terms_for_sql(standing, meter),
    ]
    outcome, event, *figures = row_of(CONSUME, asked)
    if outcome == "conflict":
        raise EventConflict(f"The event {event_id!r} is another use: send a new id for this one.")
    left = left_after(standing, figures) if figures[0] is not None else None
    return Verdict(
        allowed=outcome != "refused",
        code="usage_exceeded" if outcome == "refused" else "",
        left=left or stored_left(consumer=consumer, meter=meter, standing=standing),
        resets_at=standing.period.end,
        event=event,
        repeated=outcome == "duplicate",
    )


def row_of(query: str, arguments: list[Any]) -> tuple[Any, ...]:
    """The one row that an SQL function returns; it is one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, arguments)
        found: tuple[Any, ...] = cursor.fetchone()
    return found


def standing_of(*, consumer: Consumer, meter: Meter, at: datetime) -> Standing:
    """From the consumer's ready answer and its billing periods."""
    terms = OPEN
    if meter.feature is not None:
        answer = orjson.loads(answer_of(consumer=consumer, at=at).body)
        terms = terms_of(answer["entitlements"], meter.feature.code)
    cycle = Cycle.objects.filter(consumer=consumer).first()
    return Standing(terms, period_of(reset=terms.reset, cycle=cycle, at=at))


def terms_for_sql(standing: Standing, meter: Meter) -> list[Any]:
    """The arguments by which the SQL functions know period, limit and first threshold."""
    terms, period = standing.terms, standing.period
    return [period.start, period.end, terms.limit, terms.hard, min(meter.thresholds, default=None)]


def left_after(standing: Standing, figures: list[Decimal]) -> Left:
    """From used, reserved, covered and credits, as the SQL functions return them."""
    used, reserved, covered, credits = figures
    return Left(standing.terms.limit, used, reserved, covered, credits)


def nothing_left() -> Left:
    return Left(Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(0))


def stored_left(*, consumer: Consumer, meter: Meter, standing: Standing) -> Left:
    """What the balance says, when nothing was taken now."""
    found = QuotaBalance.objects.filter(
        consumer=consumer, meter=meter, period_start=standing.period.start
    ).first()
    limit, zero = standing.terms.limit, Decimal(0)
    if found is None:
        return Left(limit, zero, zero, zero, zero)
    return Left(limit, found.used, found.reserved, found.from_credits, zero)


def fingerprint(consumer: Consumer, meter: Meter, quantity: Decimal | int) -> bytes:
    told = f"{consumer.pk} {meter.pk} {Decimal(quantity).normalize(EXACT)}"
    return blake2b(told.encode(), digest_size=16).digest()
