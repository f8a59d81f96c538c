"""What an API was used and what it earned: totals, and by day, plan or consumer.

Currencies stand apart. Consumers are named by our ids: whom an app serves is not the creator's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import CharField, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncDay

from billing.models import Earning, EarningKind, Subscription
from keystore.models import Api, Consumer
from metering.models import Aggregation, Meter
from metering.usage import UsageWish, usage_of
from metering.windows import DAY, WHOLE, Span

BREAKDOWNS = ("day", "plan", "consumer")
SUMS = {
    "sales_minor": Sum("gross_minor", filter=Q(kind=EarningKind.SALE), default=0),
    "taken_back_minor": Sum("gross_minor", filter=~Q(kind=EarningKind.SALE), default=0),
    "tax_minor": Sum("tax_minor", default=0),
    "commission_minor": Sum("commission_minor", default=0),
    "stripe_fee_minor": Sum("stripe_fee_minor", default=0),
    "net_minor": Sum("amount_minor", default=0),
}


@dataclass(frozen=True)
class Asked:
    """Of which API, when, in whose days."""

    api: Api
    span: Span
    zone: ZoneInfo


# --- Earnings ------------------------------------------------------------------------------------


def lines_of(asked: Asked, currency: str) -> QuerySet[Earning]:
    rows = Earning.objects.filter(
        api=asked.api, occurred_at__gte=asked.span.start, occurred_at__lt=asked.span.end
    )
    return rows.filter(currency=currency) if currency else rows


def earned(asked: Asked, *, currency: str = "") -> list[dict[str, Any]]:
    """One line of sums per currency."""
    rows: Any = lines_of(asked, currency).values("currency").annotate(**SUMS)
    return list(rows.order_by("currency"))


def earned_by(asked: Asked, breakdown: str, *, currency: str = "") -> Iterator[dict[str, Any]]:
    """The same per day, plan or consumer; `group` names which."""
    groups = {
        "day": TruncDay("occurred_at", tzinfo=asked.zone),
        "plan": Coalesce(F("price__plan__code"), Value(""), output_field=CharField()),
        "consumer": Coalesce(F("consumer__public_id"), Value(""), output_field=CharField()),
    }
    rows: Any = lines_of(asked, currency).annotate(group=groups[breakdown])
    rows = rows.values("group", "currency").annotate(**SUMS).order_by("group", "currency")
    for row in rows.iterator():
        if breakdown == "day":
            row["group"] = row["group"].date().isoformat()
        yield row


# --- Usage ---------------------------------------------------------------------------------------


def used(
    asked: Asked, meters: Iterable[Meter], *, breakdown: str = "", dimension: str = ""
) -> Iterator[dict[str, Any]]:
    """Per meter: in all, or by day, plan, consumer or a dimension of the meter.

    Where a plan has many consumers, sums, counts and distinct values of each add up; of maxima and
    latest values the greatest is told.
    """
    for meter in meters:
        if not dimension or dimension in meter.dimensions:
            yield from _used(asked, meter, breakdown, dimension)


def _used(asked: Asked, meter: Meter, breakdown: str, dimension: str) -> Iterator[dict[str, Any]]:
    by_person = breakdown in ("plan", "consumer")
    group_by = ["user_id"] if by_person else [dimension] if dimension else []
    wish = UsageWish(
        meter=meter,
        span=asked.span,
        window=DAY if breakdown == "day" else WHOLE,
        zone=asked.zone,
        api=asked.api,
        group_by=group_by,
    )
    names = _names(asked.api, breakdown) if by_person else {}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in usage_of(wish):
        value = row.groups.get(group_by[0]) if group_by else ""
        group = names.get(value or "", "") if by_person else value or ""
        group = row.start.date().isoformat() if breakdown == "day" else group
        sums[group] = _joined(meter, sums[group], row.quantity)
    for group, quantity in sorted(sums.items()):
        yield {"meter": meter.code, "unit": meter.unit, "group": group, "quantity": quantity}


def _joined(meter: Meter, sum_: Decimal, more: Decimal) -> Decimal:
    greatest = meter.aggregation in (Aggregation.MAX, Aggregation.LATEST)
    return max(sum_, more) if greatest else sum_ + more


def _names(api: Api, breakdown: str) -> dict[str, str]:
    """What a consumer is called in the report, by the app's own id."""
    if breakdown == "consumer":
        return dict(
            Consumer.objects.filter(project=api.project_id).values_list("external_id", "public_id")
        )
    rows = Subscription.objects.filter(plan__api=api).order_by("started_at")
    return dict(rows.values_list("consumer__external_id", "plan__code"))
