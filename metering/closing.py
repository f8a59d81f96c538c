"""When a period of usage is closed: what comes later is billed as an adjustment. Pure."""

from datetime import datetime, timedelta

from django.conf import settings

from entitlements.models import Reset
from metering.models import Cycle
from metering.periods import Period, period_of


def closes_at(period: Period) -> datetime | None:
    """Until when events of the period still count in it; None: for ever."""
    if period.end is None:
        return None
    grace: int = settings.USAGE_GRACE_MINUTES
    return period.end + timedelta(minutes=grace)


def counting_instant(*, occurred_at: datetime, cycle: Cycle | None, at: datetime) -> datetime:
    """Under which instant usage that is billed counts when it is told at `at`.

    That is when it occurred, or now if the billing period of that instant is closed.
    """
    period = period_of(reset=Reset.BILLING_PERIOD, cycle=cycle, at=occurred_at)
    closes = closes_at(period)
    return occurred_at if closes is None or at < closes else at
