"""Billing periods: months keep the day of their anchor, clamped to the month's last."""

import calendar
from datetime import UTC, datetime, timedelta

DAYS = {"day": 1, "week": 7}
MONTHS = {"month": 1, "year": 12}


def period_end(start: int, *, anchor: int, interval: str, count: int) -> int:
    """The end of the period that begins at `start`; all are unix seconds."""
    begins = datetime.fromtimestamp(start, UTC)
    if interval in DAYS:
        return int((begins + timedelta(days=DAYS[interval] * count)).timestamp())
    day = datetime.fromtimestamp(anchor, UTC).day
    month = begins.month - 1 + MONTHS[interval] * count
    year, month = begins.year + month // 12, month % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return int(begins.replace(year=year, month=month, day=min(day, last)).timestamp())
