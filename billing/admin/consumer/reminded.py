"""The consumer's overdue renewals: where each stands, and what was sent about it."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html_join

from billing.admin.consumer.tables import Act, Section, day, label, link, newest
from billing.dunning.course import owed
from billing.dunning.standing import standing_of, told_of_step
from billing.models import CourseState, DunningCourse
from billing.money import shown
from keystore.models import Consumer

ACTS = (
    ("Remind now", "send_now", "billing.send_dunning"),
    ("Skip the next", "skip", "billing.pause_dunning"),
)


def reminders(consumer: Consumer, user: Any, at: datetime) -> Section | None:
    """Nothing while no payment ever failed."""
    rows = DunningCourse.objects.filter(consumer=consumer).select_related("invoice")
    if not rows.exists():
        return None
    table = newest(
        consumer=consumer,
        rows=rows.prefetch_related("steps").order_by("-failed_at", "-pk"),
        headers=["Invoice", "Owed", "State", "Where it stands", "Failed", "Steps"],
        cells=lambda row: [
            link(row, str(row.invoice)),
            shown(owed(row.invoice), row.invoice.currency),
            label(row.outcome or row.state, _colour(row)),
            standing_of(row),
            day(row.failed_at),
            format_html_join("", "<div>{}</div>", ((line,) for line in _steps(row))),
        ],
        acts=lambda row: _acts(row, user),
    )
    return Section("reminders", "Reminders of payments", table, short="Reminders")


def _steps(row: DunningCourse) -> list[str]:
    return [told_of_step(step) for step in sorted(row.steps.all(), key=lambda step: step.pk)]


def _colour(row: DunningCourse) -> str:
    if row.state == CourseState.RUNNING:
        return "warning"
    return "success" if row.outcome == "paid" else ""


def _acts(row: DunningCourse, user: Any) -> list[Act]:
    if row.state == CourseState.CLOSED:
        return []
    is_paused = row.state == CourseState.PAUSED
    pause = ("Resume", "resume") if is_paused else ("Pause", "pause")
    offered = [*ACTS[is_paused:], (*pause, "billing.pause_dunning")]
    return [
        Act(said, reverse(f"admin:billing_dunningcourse_{name}", args=[row.pk]))
        for said, name, permission in offered
        if user.has_perm(permission)
    ]
