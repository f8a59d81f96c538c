"""Which access a payment gives: pure rules from Stripe's states to intervals of time."""

from datetime import datetime, timedelta

from billing.shapes import SubscriptionFacts

PAYING = frozenset({"trialing", "active"})
UNPAID_IN_GRACE = frozenset({"past_due"})
NOT_BEGUN = frozenset({"incomplete"})  # the first payment has not succeeded yet
ENDED = frozenset({"canceled", "incomplete_expired"})  # never comes back under the same id

Window = tuple[datetime, datetime | None]


def subscription_window(facts: SubscriptionFacts, *, grace: timedelta) -> Window | None:
    """The half-open [from, to) in which a subscription gives access, or None.

    A paid one holds until it is cancelled, or until `grace` after the period if no renewal is
    ever heard of. An unpaid renewal holds for `grace` from the start of the unpaid period.
    One that we paused holds to the end of what was paid; one that was paused elsewhere goes on,
    as its status says. States that we do not know give nothing.
    """
    if facts.status in PAYING:
        until = _plus(facts.current_period_end, grace)
    elif facts.status in UNPAID_IN_GRACE:
        until = _plus(facts.current_period_start, grace)
    else:
        return None
    for end in (facts.cancel_at, facts.paid_until):
        if end is not None:
            until = min(until, end) if until else end
    if until is not None and until <= facts.started_at:
        return None
    return facts.started_at, until


def _plus(instant: datetime | None, grace: timedelta) -> datetime | None:
    return None if instant is None else instant + grace


def is_open(window: Window | None, at: datetime) -> bool:
    """Whether the window gives access at the instant `at`."""
    return window is not None and window[0] <= at and (window[1] is None or at < window[1])
