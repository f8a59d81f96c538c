"""Under which instant Stripe counts a report, which decides the invoice that bills it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
# Stripe drafts a renewal's invoice for an hour, and counts what it is told of by then.
IN_TIME = timedelta(minutes=50)
OLDEST = timedelta(days=34)  # Stripe takes 35 days


@dataclass(frozen=True)
class Lifetime:
    """When a subscription began, its period began, and it ended (None: it has not)."""

    started_at: datetime
    period_start: datetime
    ended_at: datetime | None


def stamp_of(*, bucket: datetime, lifetimes: Iterable[Lifetime], at: datetime) -> datetime | None:
    """The last second of the hour; None where the invoice of that time can be changed no more.

    An hour in which a period begins belongs to the new one: the old one's invoice may be final
    before the hour is over. An hour in which the subscription ends belongs to its last invoice.
    """
    stamp = bucket + HOUR - SECOND
    known = list(lifetimes)
    last = max((one.ended_at for one in known if one.ended_at), default=None)
    if last is not None and bucket < last <= stamp and not _covered(known, stamp):
        return last - SECOND
    running = [one for one in known if one.ended_at is None and one.started_at <= stamp]
    too_late = any(stamp < one.period_start and at > one.period_start + IN_TIME for one in running)
    return None if too_late or stamp < at - OLDEST else stamp


def _covered(known: Iterable[Lifetime], stamp: datetime) -> bool:
    return any(one.ended_at is None and one.started_at <= stamp for one in known)
