"""What each sale of ours opens at present, for SQL to compare with grants and keys.

By the rules of `billing.access`, by which a sync grants, on what our own columns say.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet

from billing import access
from billing.disputes import Losses, losses_of
from billing.grace import DEFAULT_GRACE_DAYS
from billing.models import BillingPolicy, Payment, Purchase, PurchaseState, Subscription
from billing.reconciliation import compare_own
from billing.reconciliation.doubles import doubled_subscriptions

AT_ONCE = 20_000
Row = tuple[str, int, datetime, datetime | None]
Params = dict[str, Any]
Rows = TypeVar("Rows", bound=Model)


class Held(NamedTuple):
    """A subscription of ours: the columns that decide about access, which are `access.Terms`."""

    pk: int
    project_id: int
    stripe_subscription_id: str
    status: str
    started_at: datetime
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    paid_until: datetime | None
    unpaid_since: datetime | None


class Bought(NamedTuple):
    """A purchase of ours."""

    pk: int
    project_id: int
    stripe_payment_intent_id: str
    state: str
    access_ended_at: datetime | None
    created_at: datetime


def make_sales(cursor: CursorWrapper, params: Params) -> None:
    """Fill the temporary table `reconciled_sale`; it goes with the transaction."""
    cursor.execute(compare_own.MAKE_WINDOWS)
    losses = losses_of(_of_scope(Payment.objects.all(), params))
    for windows in (*_subscriptions(params, losses), *_purchases(params, losses)):
        with cursor.copy(compare_own.COPY_WINDOWS) as copy:
            for row in windows:
                copy.write_row(row)
    cursor.execute(compare_own.MAKE_SALES)
    cursor.execute(compare_own.FILL_SUBSCRIPTIONS, params)
    cursor.execute(compare_own.FILL_PURCHASES, params)
    cursor.execute("ANALYZE reconciled_sale")


def _of_scope(rows: QuerySet[Rows], params: Params) -> QuerySet[Rows]:
    if params["project"] is not None:
        rows = rows.filter(project_id=params["project"])
    if params["consumer"] is not None:
        rows = rows.filter(consumer_id=params["consumer"])
    return rows


def _chunks(rows: QuerySet[Rows], fields: tuple[str, ...]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in the order of their pk, which is the first field."""
    last = 0
    while chunk := list(rows.filter(pk__gt=last).order_by("pk").values_list(*fields)[:AT_ONCE]):
        yield chunk
        last = chunk[-1][0]


def _subscriptions(params: Params, losses: Losses) -> Iterator[list[Row]]:
    """What each living subscription opens, a chunk at a time."""
    living = _of_scope(Subscription.objects.exclude(status__in=access.ENDED), params)
    doubled = doubled_subscriptions(among=living, batch=params["batch"])
    days = dict(BillingPolicy.objects.values_list("project_id", "grace_days"))
    for chunk in _chunks(living, Held._fields):
        windows = []
        for held in map(Held._make, chunk):
            window = access.subscription_window(
                held,
                grace=timedelta(days=days.get(held.project_id, DEFAULT_GRACE_DAYS)),
                lost_at=losses.by_subscription.get(held.stripe_subscription_id),
                doubled=held.stripe_subscription_id in doubled,
            )
            if window is not None:
                windows.append(("subscription", held.pk, *window))
        yield windows


def _purchases(params: Params, losses: Losses) -> Iterator[list[Row]]:
    """What each purchase opens, a chunk at a time."""
    for chunk in _chunks(_of_scope(Purchase.objects.all(), params), Bought._fields):
        windows = []
        for bought in map(Bought._make, chunk):
            window = access.purchase_window(
                bought_at=bought.created_at,
                refunded=bought.state == PurchaseState.REFUNDED,
                ended_by_staff=bought.access_ended_at is not None,
                lost=(bought.project_id, bought.stripe_payment_intent_id) in losses.intents,
            )
            if window is not None:
                windows.append(("purchase", bought.pk, *window))
        yield windows


def begin_snapshot(cursor: CursorWrapper) -> None:
    """What the transaction reads is of one instant: a sync beside it is seen whole or not."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("SET LOCAL statement_timeout = '120s'")
