"""What an event took from its quota, given back when the event is taken back."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F, Max, Q, QuerySet, Value
from django.db.models.functions import Greatest

from metering.models import Aggregation, QuotaBalance, QuotaUnique, UsageEvent
from metering.periods import Period

RETURN = "SELECT metering_return(%s, %s)"


def balance_of(event: UsageEvent) -> QuotaBalance | None:
    """The quota that the event took from, locked; None: its meter takes from none."""
    if event.meter.feature_id is None:
        return None
    return _balances_of(event).select_for_update(no_key=True).last()


def period_counted_in(event: UsageEvent) -> Period | None:
    """The period of the quota that the event took from; None: it took from none."""
    balance = _balances_of(event).last() if event.meter.feature_id is not None else None
    return Period(balance.period_start, balance.period_end) if balance else None


def _balances_of(event: UsageEvent) -> QuerySet[QuotaBalance]:
    open_then = Q(period_end=None) | Q(period_end__gt=event.counts_at)
    balances = QuotaBalance.objects.filter(
        open_then,
        consumer=event.consumer_id,
        meter=event.meter_id,
        period_start__lte=event.counts_at,
    )
    return balances.order_by("period_start")


def give_back(*, event: UsageEvent, at: datetime) -> Decimal:
    """Let quota and credits be as if the event had not been; how much came from credits."""
    balance = balance_of(event)
    if balance is None:
        return Decimal(0)
    with connection.cursor() as cursor:
        cursor.execute(RETURN, [str(event.pk), at])
        paid = Decimal(cursor.fetchone()[0])
    zero = Value(Decimal(0))
    changes: dict[str, Any] = {"used": Greatest(F("used") - _taken(event, balance), zero)}
    if event.meter.aggregation in (Aggregation.MAX, Aggregation.LATEST):
        changes = _remeasured(event, balance)
    QuotaBalance.objects.filter(pk=balance.pk).update(
        **changes, from_credits=Greatest(F("from_credits") - paid, zero)
    )
    return paid


def standing_events(event: UsageEvent, balance: QuotaBalance) -> QuerySet[UsageEvent]:
    """The other events of the balance's period that count."""
    same = UsageEvent.objects.filter(
        consumer=event.consumer_id, meter=event.meter_id, counts_at__gte=balance.period_start
    )
    if balance.period_end is not None:
        same = same.filter(counts_at__lt=balance.period_end)
    taken_back = same.filter(voids=True).values("corrects")
    return same.filter(voids=False).exclude(pk=event.pk).exclude(pk__in=taken_back)


def _taken(event: UsageEvent, balance: QuotaBalance) -> Decimal:
    if event.meter.aggregation == Aggregation.SUM:
        return Decimal(event.quantity)
    if event.meter.aggregation == Aggregation.COUNT:
        return Decimal(1)
    others = standing_events(event, balance).filter(unique_value=event.unique_value)
    if event.meter.aggregation != Aggregation.UNIQUE or others.exists():
        return Decimal(0)
    QuotaUnique.objects.filter(balance=balance, value=event.unique_value).delete()
    return Decimal(1)


def _remeasured(event: UsageEvent, balance: QuotaBalance) -> dict[str, Any]:
    """Maximum and latest value are those of the events that are left."""
    left = standing_events(event, balance)
    if event.meter.aggregation == Aggregation.MAX:
        return {"used": left.aggregate(most=Max("quantity"))["most"] or Decimal(0)}
    newest = left.order_by("counts_at", "id").last()
    if newest is None:
        return {"used": Decimal(0), "latest_at": None}
    return {"used": newest.quantity, "latest_at": newest.counts_at}
