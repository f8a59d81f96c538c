"""Which steps a course has, and when. Pure: from the project's days to instants."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from billing.models import StepKind

ENDED, RECOVERED, LAST = "ended", "recovered", "last"


class Terms(Protocol):
    """What of a project's policy decides about the steps."""

    enabled: bool
    reminder_days: list[int]
    last_reminder_hours: int


@dataclass(frozen=True)
class Planned:
    code: str
    kind: StepKind
    number: int
    due_at: datetime


def plan_of(*, terms: Terms, failed_at: datetime, access_until: datetime) -> list[Planned]:
    """The steps in their order. Reminders that would come after the last one are left out, and so
    is whatever would come when access has ended; that it ends is a step in any case.
    """
    end = Planned(ENDED, StepKind.ENDED, 0, max(access_until, failed_at))
    if not terms.enabled:
        return [end]
    last_at = access_until - timedelta(hours=terms.last_reminder_hours)
    has_last = bool(terms.last_reminder_hours) and last_at > failed_at
    before = last_at if has_last else access_until
    steps = []
    for number, days in enumerate(sorted(set(terms.reminder_days))):
        due_at = failed_at + timedelta(days=days)
        if due_at < before:
            kind = StepKind.REMINDER if number else StepKind.FAILED
            steps.append(Planned(f"day:{days}", kind, number, due_at))
    if has_last:
        steps.append(Planned(LAST, StepKind.LAST, len(steps), last_at))
    return [*steps, end]


def due_of(plan: Iterable[Planned], *, taken: Collection[Planned], at: datetime) -> list[Planned]:
    """What is due and was not taken. A reminder put into the schedule before one that was taken
    already is not made up for.
    """
    return [one for one in open_of(plan, taken=taken) if one.due_at <= at]


def open_of(plan: Iterable[Planned], *, taken: Collection[Planned]) -> list[Planned]:
    """What is still to come."""
    codes = {one.code for one in taken}
    latest = max((one.due_at for one in taken), default=None)
    return [
        one
        for one in plan
        if one.code not in codes
        and (latest is None or one.due_at > latest or one.kind == StepKind.ENDED)
    ]
