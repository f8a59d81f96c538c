"""What each sale of ours opens at present, for SQL to compare with grants and keys."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.utils import CursorWrapper

from billing import access
from billing.models import BillingPolicy, Subscription
from billing.reconciliation import compare_own
from billing.shapes import SubscriptionFacts
from billing.sync import DEFAULT_GRACE_DAYS

FIELDS = (
    "pk",
    "project_id",
    "stripe_subscription_id",
    "status",
    "currency",
    "started_at",
    "current_period_start",
    "current_period_end",
    "cancel_at",
)
AT_ONCE = 20_000
Row = tuple[int, datetime, datetime | None]


def make_sales(cursor: CursorWrapper, params: dict[str, Any]) -> None:
    """Fill the temporary table `reconciled_sale`; it goes with the transaction."""
    cursor.execute(compare_own.MAKE_WINDOWS)
    for windows in _windows(params["project"], params["consumer"]):
        with cursor.copy(compare_own.COPY_WINDOWS) as copy:
            for row in windows:
                copy.write_row(row)
    cursor.execute(compare_own.MAKE_SALES)
    cursor.execute(compare_own.FILL_SUBSCRIPTIONS, params)
    cursor.execute(compare_own.FILL_PURCHASES, params)
    cursor.execute("ANALYZE reconciled_sale")


def _windows(project_id: int | None, consumer_id: int | None) -> Iterator[list[Row]]:
    """What each living subscription opens, a chunk at a time."""
    rows = Subscription.objects.exclude(status__in=access.ENDED).order_by("pk")
    if project_id is not None:
        rows = rows.filter(project_id=project_id)
    if consumer_id is not None:
        rows = rows.filter(consumer_id=consumer_id)
    grace = dict(BillingPolicy.objects.values_list("project_id", "grace_days"))
    last = 0
    while chunk := list(rows.filter(pk__gt=last).values_list(*FIELDS)[:AT_ONCE]):
        yield [
            (row[0], *window)
            for row in chunk
            if (window := _window(row, grace.get(row[1], DEFAULT_GRACE_DAYS))) is not None
        ]
        last = chunk[-1][0]


def _window(row: tuple[Any, ...], grace_days: int) -> access.Window | None:
    return access.subscription_window(_facts(row), grace=timedelta(days=grace_days))


def _facts(row: tuple[Any, ...]) -> SubscriptionFacts:
    """What decides about access, from our own columns."""
    _, _, stripe_id, status, currency, started_at, period_start, period_end, cancel_at = row
    return SubscriptionFacts(
        stripe_subscription_id=stripe_id,
        status=status,
        items=(),
        currency=currency,
        started_at=started_at,
        current_period_start=period_start,
        current_period_end=period_end,
        cancel_at=cancel_at,
        canceled_at=None,
        ended_at=None,
        trial_end=None,
        paused=False,
        paid_until=None,
        checkout_public_id="",
    )


def begin_snapshot(cursor: CursorWrapper) -> None:
    """What the transaction reads is of one instant: a sync beside it is seen whole or not."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("SET LOCAL statement_timeout = '120s'")
