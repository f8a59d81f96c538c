"""When a limit starts anew. Pure: no database, no clock.

Periods are half-open and tile time: every instant lies in exactly one. The n-th one is computed
from the anchor, never from its neighbour, so that a month that began on the 31st does so again.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from entitlements.models import Reset
from metering.models import Cycle, Interval

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
FIXED = {Interval.DAY: timedelta(days=1), Interval.WEEK: timedelta(weeks=1)}
MONTHS = {Interval.MONTH: 1, Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end); `end` None: it never starts anew."""

    start: datetime
    end: datetime | None

    def contains(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


def period_of(*, reset: str, cycle: Cycle | None, at: datetime) -> Period:
    """The period of a limit that holds the instant `at`, in UTC."""
    at = at.astimezone(UTC)
    if reset == Reset.NEVER:
        return Period(FIRST, None)
    if reset == Reset.DAY:
        start = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return Period(start, start + timedelta(days=1))
    if reset == Reset.BILLING_PERIOD and cycle is not None:
        return billing_period(
            anchor=cycle.anchor.astimezone(UTC),
            interval=cycle.interval,
            count=cycle.interval_count,
            at=at,
        )
    start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Period(start, months_after(start, 1))


def billing_period(*, anchor: datetime, interval: str, count: int, at: datetime) -> Period:
    """The period of `count` intervals from `anchor` on, in either direction, that holds `at`."""
    if interval in FIXED:
        length = FIXED[Interval(interval)] * count
        start = anchor + (at - anchor) // length * length
        return Period(start, start + length)
    months = MONTHS[Interval(interval)] * count
    passed = (at.year - anchor.year) * 12 + at.month - anchor.month
    # The estimate is off by one at most: the day and hour of the month decide.
    number = passed // months
    while months_after(anchor, number * months) > at:
        number -= 1
    while months_after(anchor, (number + 1) * months) <= at:
        number += 1
    return Period(
        months_after(anchor, number * months), months_after(anchor, (number + 1) * months)
    )


def months_after(anchor: datetime, months: int) -> datetime:
    """`anchor` so many months on; in a shorter month its last day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last))
