"""The figures of the business: subscriptions and money, over days and of all time.

The admin's first page and the metrics API read the same functions. Days are days in UTC. Money of
different currencies is never added up.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from billing.access import NOT_BEGUN, PAYING
from billing.models import Payment, Refund, RefundStatus, Subscription
from keystore.models import Project

COUNTED_REFUNDS = (RefundStatus.SUCCEEDED, RefundStatus.PENDING)
NEVER_BEGAN = (*NOT_BEGUN, "incomplete_expired")


@dataclass(frozen=True)
class Days:
    """From one day to another, both included."""

    first: date
    last: date

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def until(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    def __iter__(self) -> Iterator[date]:
        count = (self.last - self.first).days + 1
        return (self.first + timedelta(days=number) for number in range(count))

    def during(self, column: str) -> Q:
        return Q(**{f"{column}__gte": self.since, f"{column}__lt": self.until})


@dataclass(frozen=True)
class SubscriptionMetrics:
    """Counts by Stripe's status and by plan; monthly income per currency, never added up."""

    active: int
    by_status: dict[str, int]
    by_plan: dict[str, int]
    mrr_minor: dict[str, int]


@dataclass(frozen=True)
class DayOfSubscriptions:
    day: date
    running: int  # at the end of the day: begun and not ended, paid or not
    new: int
    lost: int


@dataclass(frozen=True)
class Movement:
    """How the subscriptions changed over some days."""

    running_before: int
    days: list[DayOfSubscriptions]

    @property
    def new(self) -> int:
        return sum(day.new for day in self.days)

    @property
    def lost(self) -> int:
        return sum(day.lost for day in self.days)

    @property
    def churn_percent(self) -> float | None:
        """The lost per hundred that ran before; None: none ran."""
        return 100 * self.lost / self.running_before if self.running_before else None


@dataclass(frozen=True)
class DayOfMoney:
    day: date
    gross_minor: int
    refunded_minor: int


@dataclass(frozen=True)
class Revenue:
    """Money of one currency. `fees_minor` counts the payments whose fee Stripe has told."""

    currency: str
    payments: int
    gross_minor: int
    refunded_minor: int
    fees_minor: int = 0
    fees_known: int = 0  # of how many payments
    days: list[DayOfMoney] = field(default_factory=list)

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.refunded_minor


def subscription_metrics(*, project: Project | None) -> SubscriptionMetrics:
    """As of now; of all projects when none is named."""
    rows = _of(Subscription, project)
    paying = rows.filter(status__in=PAYING)
    by_status = rows.values_list("status").annotate(n=Count("pk")).order_by("status")
    by_plan = paying.values_list("plan__code").annotate(n=Count("pk")).order_by("plan__code")
    mrr = rows.filter(status="active").values_list("currency").annotate(sum=Sum("mrr_minor"))
    return SubscriptionMetrics(
        active=paying.count(),
        by_status=dict(by_status),
        by_plan={code or "unknown": count for code, count in by_plan},
        mrr_minor=dict(mrr.order_by("currency")),
    )


def movement_of(*, project: Project | None, days: Days) -> Movement:
    """Who came and who left, day by day; subscriptions that were never paid do not count."""
    began = _of(Subscription, project).exclude(status__in=NEVER_BEGAN)
    before = began.filter(started_at__lt=days.since)
    running = before.filter(Q(ended_at=None) | Q(ended_at__gte=days.since)).count()
    new = _by_day(began, days, "started_at", Count("pk"))
    lost = _by_day(began, days, "ended_at", Count("pk"))
    found, now_running = [], running
    for day in days:
        now_running += new.get(("", day), 0) - lost.get(("", day), 0)
        counts = new.get(("", day), 0), lost.get(("", day), 0)
        found.append(DayOfSubscriptions(day, now_running, *counts))
    return Movement(running_before=running, days=found)


def revenue_of(
    *, project: Project | None, since: datetime | None = None, until: datetime | None = None
) -> list[Revenue]:
    """Payments and refunds by the time they were made, over [since, until)."""
    during = Q()
    if since is not None:
        during &= Q(created_at__gte=since)
    if until is not None:
        during &= Q(created_at__lt=until)
    return _revenue(project, during)


def revenue_by_day(*, project: Project | None, days: Days) -> list[Revenue]:
    """The same over some days, each with what it brought."""
    during = days.during("created_at")
    gross = _by_day(_paid(project), days, "created_at", Sum("captured_minor"), "currency")
    back = _by_day(_given_back(project), days, "created_at", Sum("amount_minor"), "currency")
    lines = _revenue(project, during)
    for line in lines:
        line.days.extend(
            DayOfMoney(day, gross.get((line.currency, day), 0), back.get((line.currency, day), 0))
            for day in days
        )
    return lines


def _revenue(project: Project | None, during: Q) -> list[Revenue]:
    paid = _paid(project).filter(during)
    totals = paid.values_list("currency").annotate(n=Count("pk"), sum=Sum("captured_minor"))
    gross = {currency: (count, total) for currency, count, total in totals}
    back = _given_back(project).filter(during).values_list("currency")
    refunded = Counter(dict(back.annotate(sum=Sum("amount_minor"))))
    told = paid.exclude(fee_minor=None).values_list("fee_currency")
    fees = {
        currency: (count, total)
        for currency, count, total in told.annotate(n=Count("pk"), sum=Sum("fee_minor"))
    }
    return [
        Revenue(
            currency=currency,
            payments=gross.get(currency, (0, 0))[0],
            gross_minor=gross.get(currency, (0, 0))[1],
            refunded_minor=refunded[currency],
            fees_known=fees.get(currency, (0, 0))[0],
            fees_minor=fees.get(currency, (0, 0))[1],
        )
        for currency in sorted(gross.keys() | refunded.keys() | fees.keys())
    ]


def _paid(project: Project | None) -> QuerySet[Payment]:
    return _of(Payment, project).filter(status="succeeded")


def _given_back(project: Project | None) -> QuerySet[Refund]:
    return _of(Refund, project).filter(status__in=COUNTED_REFUNDS)


def _of(model: Any, project: Project | None) -> QuerySet[Any]:
    rows: QuerySet[Any] = model.objects.all()
    return rows if project is None else rows.filter(project=project)


def _by_day(
    rows: QuerySet[Any], days: Days, column: str, total: Any, group: str = ""
) -> dict[tuple[str, date], int]:
    """Totals by (group, day); without a group its place is empty."""
    names = [group, "day"] if group else ["day"]
    counted = (
        rows.filter(days.during(column))
        .annotate(day=TruncDate(column, tzinfo=UTC))
        .values_list(*names)
        .annotate(total=total)
        .order_by()
    )
    return {(row[0] if group else "", row[-2]): row[-1] for row in counted}
