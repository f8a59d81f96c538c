"""What staff do to a course: send now, pause, resume, skip. Each with its reason, on record."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from billing.dunning import steps
from billing.dunning.course import (
    follow,
    locked,
    plan_ahead,
    plan_for,
    record,
    taken_in,
    write_step,
)
from billing.dunning.mails import send_due
from billing.dunning.schedule import Planned, open_of
from billing.models import CourseState, DunningCourse, DunningStep, StepKind, StepState
from config.errors import Conflict

REST = timedelta(minutes=10)  # a second click is no second mail
MAILED = (StepState.WAITING, StepState.SENT)


class CourseClosed(Conflict):
    """Nothing is owed any more, or somebody else is at it."""

    code = "dunning_closed"


class JustReminded(Conflict):
    """A mail about the invoice left a moment ago."""

    code = "dunning_just_reminded"


class NothingToSkip(Conflict):
    """No reminder is to come."""

    code = "dunning_nothing_to_skip"


@transaction.atomic
def remind_now(*, course: DunningCourse, actor: str, reason: str, at: datetime) -> DunningStep:
    """Mail now: the next reminder before its time, or once more when all of them are out."""
    row = _open(course, at)
    if row.state == CourseState.PAUSED:
        raise CourseClosed("The reminders are paused: resume them first.")
    _refuse_again(row, at)
    ahead = _reminders_ahead(row)
    if ahead:
        one = ahead[0]
    else:
        number = row.steps.filter(code__startswith="staff:").count() + 1
        kind = StepKind.REMINDER if row.access_ended_at is None else StepKind.ENDED
        one = Planned(f"staff:{number}", kind, 0, at)
    step = _send(row, one, actor, reason, at)
    plan_ahead(row)
    return step


def _send(row: DunningCourse, one: Planned, actor: str, reason: str, at: datetime) -> DunningStep:
    if one.kind != StepKind.ENDED:
        return steps.take(row, one, at, actor=actor, reason=reason)
    # Access ended before, and was told: only the mail goes again.
    record(row, "dunning.access_ended_again", reason, at, actor=actor)
    return write_step(row, one, StepState.WAITING, at)


@transaction.atomic
def pause(*, course: DunningCourse, actor: str, reason: str, at: datetime) -> bool:
    """Mail nothing until it is resumed. Access ends on its day all the same."""
    row = _open(course, at)
    if row.state == CourseState.PAUSED:
        return False
    row.state, row.paused_because = CourseState.PAUSED, reason
    row.save(update_fields=["state", "paused_because"])
    waiting = row.steps.filter(state=StepState.WAITING, lease_until=None)
    waiting.update(state=StepState.WITHDRAWN, note="paused by staff")
    record(row, "dunning.pause", reason, at, actor=actor)
    plan_ahead(row)
    return True


@transaction.atomic
def resume(*, course: DunningCourse, actor: str, reason: str, at: datetime) -> bool:
    """Go on. Of what was due meanwhile only the latest is sent."""
    row = _open(course, at)
    if row.state != CourseState.PAUSED:
        return False
    row.state, row.paused_because = CourseState.RUNNING, ""
    row.save(update_fields=["state", "paused_because"])
    record(row, "dunning.resume", reason, at, actor=actor)
    plan_ahead(row)
    return True


@transaction.atomic
def skip(*, course: DunningCourse, actor: str, reason: str, at: datetime) -> DunningStep:
    """Leave the next reminder out; those after it come when they are due."""
    row = _open(course, at)
    ahead = _reminders_ahead(row)
    if not ahead:
        raise NothingToSkip("No reminder is to come: there is nothing to skip.")
    step = write_step(row, ahead[0], StepState.SKIPPED, at, note=reason)
    due = f"{ahead[0].kind} of {ahead[0].due_at:%Y-%m-%d %H:%M}: {reason}"
    record(row, "dunning.skip", due, at, actor=actor)
    plan_ahead(row)
    return step


def deliver(clock: Callable[[], datetime]) -> int:
    """Send at once what an act made due; what the mail server refuses now is tried again."""
    return send_due(clock=clock)


def _open(course: DunningCourse, at: datetime) -> DunningCourse:
    row = locked(course.pk)
    if row is None:
        raise CourseClosed("Somebody is at this course at this moment: try again.")
    if row.state != CourseState.CLOSED:
        follow(row, at)
    if row.state == CourseState.CLOSED:
        raise CourseClosed(f"The invoice is {row.outcome}: nothing is sent about it any more.")
    return row


def _reminders_ahead(row: DunningCourse) -> list[Planned]:
    ahead = open_of(plan_for(row), taken=taken_in(row))
    return [one for one in ahead if one.kind != StepKind.ENDED]


def _refuse_again(row: DunningCourse, at: datetime) -> None:
    latest = row.steps.filter(state__in=MAILED).order_by("-taken_at").first()
    if latest is not None and at - latest.taken_at < REST:
        raise JustReminded(
            f"A mail about it left at {latest.taken_at:%H:%M} UTC: wait ten minutes."
        )
