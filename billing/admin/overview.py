"""The first page: how the business does, and what waits for somebody."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from billing.access import PAYING
from billing.dunning.figures import Line, overdue_of, recovered_of
from billing.figures import (
    Days,
    Movement,
    Revenue,
    SubscriptionMetrics,
    movement_of,
    revenue_by_day,
    subscription_metrics,
)
from billing.money import decimals_of, shown
from keystore.models import Project

USUAL_DAYS = 30
RANGES = (7, 30, 90, 365)
LONGEST = timedelta(days=3 * 366)


@dataclass(frozen=True)
class Figure:
    """One number, or one per currency; `link` leads to the rows that it counts."""

    title: str
    lines: list[str]
    link: str
    hint: str = ""


@dataclass(frozen=True)
class Chart:
    """`data` draws it; `rows` say the same to whoever cannot see it."""

    title: str
    kind: str
    data: str
    headers: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Business:
    days: Days
    project: Project | None
    projects: list[Project]
    ranges: list[dict[str, Any]]
    figures: list[Figure] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)


def business_of(request: HttpRequest, *, at: datetime) -> Business:
    """What the request's range and project show to whoever may see it."""
    projects = list(Project.objects.order_by("name", "slug"))
    project = next((one for one in projects if str(one.pk) == request.GET.get("project")), None)
    days = days_asked(request, today=at.date())
    business = Business(days, project, projects, _ranges(days, at.date()))
    if request.user.has_perm("billing.view_subscription"):
        movement = movement_of(project=project, days=days)
        metrics = subscription_metrics(project=project)
        business.figures.extend(_subscription_figures(metrics, movement, days, project))
        business.charts.extend(_movement_charts(movement))
    if request.user.has_perm("billing.view_payment"):
        revenue = revenue_by_day(project=project, days=days)
        business.figures.extend(_money_figure(line, days, project) for line in revenue)
        business.charts.extend(_money_chart(line) for line in revenue)
    if request.user.has_perm("billing.view_dunningcourse"):
        overdue, recovered = overdue_of(project=project), recovered_of(project=project, days=days)
        open_ones = _rows("dunningcourse", project, state__in="running,paused")
        paid = _rows("dunningcourse", project, outcome__exact="paid", **_during("closed_at", days))
        said = "unpaid after the payment failed, now"
        business.figures.extend(_overdue_figure("Overdue", one, open_ones, said) for one in overdue)
        said = "paid in these days after the payment had failed"
        business.figures.extend(_overdue_figure("Recovered", one, paid, said) for one in recovered)
    return business


def days_asked(request: HttpRequest, *, today: date) -> Days:
    """The days that the address names; what is no day, or too long, is the usual month."""
    last = _day(request.GET.get("to")) or today
    first = _day(request.GET.get("from")) or last - timedelta(days=_length(request) - 1)
    if not timedelta(0) <= last - first <= LONGEST:
        return Days(today - timedelta(days=USUAL_DAYS - 1), today)
    return Days(first, last)


def _length(request: HttpRequest) -> int:
    wanted = request.GET.get("days", "")
    return int(wanted) if wanted in {str(length) for length in RANGES} else USUAL_DAYS


def _day(text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    # Far enough from the ends of the calendar to reckon with.
    return day if 2000 <= day.year <= 2200 else None


def _ranges(days: Days, today: date) -> list[dict[str, Any]]:
    length = (days.last - days.first).days + 1
    return [
        {"days": one, "current": days.last == today and length == one, "title": f"{one} days"}
        for one in RANGES
    ]


def _subscription_figures(
    metrics: SubscriptionMetrics, movement: Movement, days: Days, project: Project | None
) -> list[Figure]:
    churn = movement.churn_percent
    lost = _rows("subscription", project, **_during("ended_at", days))
    return [
        Figure(
            "Active subscriptions",
            [f"{metrics.active:,}"],
            _rows("subscription", project, status__in=",".join(sorted(PAYING))),
            "paid or on trial, now",
        ),
        Figure(
            "MRR",
            [shown(amount, currency) for currency, amount in metrics.mrr_minor.items()] or ["0"],
            _rows("subscription", project, status__exact="active"),
            "per month, before discounts and tax, now",
        ),
        Figure(
            "New subscriptions",
            [f"{movement.new:,}"],
            _rows("subscription", project, **_during("started_at", days)),
            "began in these days",
        ),
        Figure("Lost subscriptions", [f"{movement.lost:,}"], lost, "ended in these days"),
        Figure(
            "Churn",
            ["-" if churn is None else f"{churn:.1f} %"],
            lost,
            f"lost of the {movement.running_before:,} that ran before",
        ),
    ]


def _money_figure(line: Revenue, days: Days, project: Project | None) -> Figure:
    said = f"{shown(line.gross_minor, line.currency)} in {line.payments:,} payments"
    if line.refunded_minor:
        said += f", {shown(line.refunded_minor, line.currency)} given back"
    if line.fees_known:
        fees = shown(line.fees_minor, line.currency)
        said += f"; Stripe's fees {fees}, known of {line.fees_known:,}"
    return Figure(
        f"Net revenue, {line.currency.upper()}",
        [shown(line.net_minor, line.currency)],
        _rows("payment", project, currency__exact=line.currency, **_during("created_at", days)),
        said,
    )


def _overdue_figure(title: str, line: Line, rows: str, said: str) -> Figure:
    currency, amount, number = line
    title = f"{title}, {currency.upper()}"
    return Figure(title, [shown(amount, currency)], rows, f"{number:,} {said}")


def _movement_charts(movement: Movement) -> list[Chart]:
    labels = [f"{day.day:%b %d}" for day in movement.days]
    running = [day.running for day in movement.days]
    return [
        Chart(
            "Running subscriptions",
            "line",
            _data(labels, [("Running", running, "var(--color-primary-500)")]),
            ["Day", "Running at its end"],
            [[f"{day.day}", f"{day.running:,}"] for day in movement.days],
        ),
        Chart(
            "New and lost subscriptions",
            "bar",
            _data(
                labels,
                [
                    ("New", [day.new for day in movement.days], "var(--color-primary-500)"),
                    ("Lost", [-day.lost for day in movement.days], "#f97316"),
                ],
            ),
            ["Day", "New", "Lost"],
            [[f"{day.day}", f"{day.new:,}", f"{day.lost:,}"] for day in movement.days],
        ),
    ]


def _money_chart(line: Revenue) -> Chart:
    def whole(amount_minor: int) -> float:
        return float(amount_minor / 10 ** decimals_of(line.currency))

    return Chart(
        f"Revenue by day, {line.currency.upper()}",
        "bar",
        _data(
            [f"{day.day:%b %d}" for day in line.days],
            [
                ("Gross", [whole(day.gross_minor) for day in line.days], "#22c55e"),
                ("Refunds", [-whole(day.refunded_minor) for day in line.days], "#f97316"),
            ],
        ),
        ["Day", "Gross", "Refunds"],
        [
            [
                f"{day.day}",
                shown(day.gross_minor, line.currency),
                shown(day.refunded_minor, line.currency),
            ]
            for day in line.days
        ],
    )


def _data(labels: list[str], series: list[tuple[str, list[Any], str]]) -> str:
    """As Unfold's chart reads it."""
    sets = [
        {
            "label": label,
            "data": values,
            "backgroundColor": colour,
            "borderColor": colour,
            "displayYAxis": True,
            "maxTicksXLimit": 8,
        }
        for label, values, colour in series
    ]
    return json.dumps({"labels": labels, "datasets": sets})


def _during(column: str, days: Days) -> dict[str, str]:
    return {f"{column}_from": str(days.first), f"{column}_to": str(days.last)}


def _rows(model: str, project: Project | None, **where: str) -> str:
    if project is not None:
        where["project__id__exact"] = str(project.pk)
    return f"{reverse(f'admin:billing_{model}_changelist')}?{urlencode(where)}"
