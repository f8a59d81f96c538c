"""Which access a payment gives: pure rules from Stripe's states to intervals of time.

A sync grants by these rules and reconciliation compares by them, so that they cannot disagree.
"""

from datetime import datetime, timedelta
from typing import Protocol

PAYING = frozenset({"trialing", "active"})
UNPAID_IN_GRACE = frozenset({"past_due"})
NOT_BEGUN = frozenset({"incomplete"})  # the first payment has not succeeded yet
ENDED = frozenset({"canceled", "incomplete_expired"})  # never comes back under the same id

Window = tuple[datetime, datetime | None]


class Terms(Protocol):
    """What decides about a subscription's access, said by Stripe or kept in our columns."""

    @property
    def status(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def current_period_start(self) -> datetime | None: ...
    @property
    def current_period_end(self) -> datetime | None: ...
    @property
    def cancel_at(self) -> datetime | None: ...
    @property
    def paid_until(self) -> datetime | None: ...
    @property
    def unpaid_since(self) -> datetime | None: ...


def subscription_window(
    terms: Terms, *, grace: timedelta, lost_at: datetime | None, doubled: bool
) -> Window | None:
    """The half-open [from, to) in which a subscription gives access, or None.

    A paid one holds until it is cancelled, or until `grace` after the period if no renewal is
    ever heard of. An unpaid renewal holds for `grace` from the start of the unpaid period, and
    another one that is not paid either adds nothing to it.
    One that we paused holds to the end of what was paid; one that was paused elsewhere goes on,
    as its status says. States that we do not know give nothing, and so does one that is doubled.
    `lost_at`: when the last of its payments was made that the buyer's bank took back; if that was
    in the period that runs, access is closed until the next one is paid.
    """
    started = terms.current_period_start
    if doubled or (lost_at is not None and started is not None and started <= lost_at):
        return None
    if terms.status in PAYING:
        until = _plus(terms.current_period_end, grace)
    elif terms.status in UNPAID_IN_GRACE:
        until = _plus(_earliest(started, terms.unpaid_since), grace)
    else:
        return None
    for end in (terms.cancel_at, terms.paid_until):
        if end is not None:
            until = min(until, end) if until else end
    if until is not None and until <= terms.started_at:
        return None
    return terms.started_at, until


def purchase_window(
    *, bought_at: datetime, refunded: bool, ended_by_staff: bool, lost: bool
) -> Window | None:
    """A purchase is open for ever, unless all of its money went back or staff closed it."""
    return None if refunded or ended_by_staff or lost else (bought_at, None)


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((one for one in instants if one is not None), default=None)


def _plus(instant: datetime | None, grace: timedelta) -> datetime | None:
    return None if instant is None else instant + grace


def is_open(window: Window | None, at: datetime) -> bool:
    """Whether the window gives access at the instant `at`."""
    return window is not None and window[0] <= at and (window[1] is None or at < window[1])
