"""When a consumer's usage starts anew: with the periods of what they pay for."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from billing import access
from billing.duplicates import Bought
from billing.shapes import SubscriptionFacts
from keystore.models import Consumer
from metering.services import clear_cycle, set_cycle


def hand_down_cycle(
    *, consumer: Consumer, bought: Iterable[Bought], grace: timedelta, at: datetime
) -> None:
    """Count by the best subscription that gives access; by calendar months without one.

    A period whose money a bank took back still counts: usage is not to begin anew by a dispute.
    In a trial Stripe's anchor is the trial's end, so that what is paid for begins at zero.
    """
    live = [
        (facts, prices)
        for facts, prices in bought
        if facts.interval and prices and access.is_open(_window(facts, grace), at)
    ]
    best = max(
        live, key=lambda one: (one[1][0].plan.rank, one[0].stripe_subscription_id), default=None
    )
    if best is None or best[0].anchor is None:
        clear_cycle(consumer=consumer)
        return
    facts, anchor = best[0], best[0].anchor
    set_cycle(
        consumer=consumer,
        anchor=anchor,
        interval=facts.interval,
        interval_count=facts.interval_count,
    )


def _window(facts: SubscriptionFacts, grace: timedelta) -> access.Window | None:
    return access.subscription_window(facts, grace=grace, lost_at=None, doubled=False)
