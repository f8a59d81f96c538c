"""The sweeper of courses: takes each step once, in the transaction that finds it due."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import transaction

from billing import access, provision
from billing.dunning.course import (
    follow,
    locked,
    plan_ahead,
    plan_for,
    policy_of,
    record,
    taken_in,
    tell_of,
    told_of,
    write_step,
)
from billing.dunning.links import pay_url
from billing.dunning.mails import send_due
from billing.dunning.schedule import Planned, due_of
from billing.grace import grace_of
from billing.models import (
    CourseState,
    DunningCourse,
    DunningStep,
    StepKind,
    StepState,
    Subscription,
)
from keystore.locking import retried

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 200
HOOKS = {StepKind.ENDED: "access.ended"}
REMINDED = "dunning.reminder_sent"
WORDS = {
    StepKind.FAILED: "told that the payment failed",
    StepKind.REMINDER: "reminder {number}",
    StepKind.LAST: "the last reminder",
    StepKind.ENDED: "access ended",
}


def work_dunning(*, clock: Callable[[], datetime]) -> int:
    """Take what is due and send the mails that wait; returns how many mails went out."""
    take_due(at=clock())
    return send_due(clock=clock)


def take_due(*, at: datetime, limit: int = MOST_AT_ONCE) -> int:
    """Take the steps that are due; returns how many were."""
    rows = DunningCourse.objects.filter(next_at__lte=at).exclude(state=CourseState.CLOSED)
    due = list(rows.order_by("next_at").values_list("pk", flat=True)[:limit])
    return sum(retried(partial(_take, pk, at)) for pk in due)


@transaction.atomic
def _take(pk: int, at: datetime) -> int:
    """The latest step that is due; those before it, which an outage or a pause held up, are
    passed over, so that nobody finds three reminders in one morning.
    """
    course = locked(pk)
    if course is None:
        return 0
    if course.state != CourseState.CLOSED:
        follow(course, at)
    if course.state == CourseState.CLOSED:
        return 0
    due = due_of(plan_for(course), taken=taken_in(course), at=at)
    if course.state == CourseState.PAUSED:
        due = [one for one in due if one.kind == StepKind.ENDED]
    for one in due[:-1]:
        write_step(course, one, StepState.MISSED, at, note=f"{due[-1].kind} was due as well")
    if due:
        take(course, due[-1], at)
    plan_ahead(course)
    return len(due[-1:])


def take(
    course: DunningCourse, one: Planned, at: datetime, *, actor: str = "system", reason: str = ""
) -> DunningStep:
    """Take one step of a course that is locked: its row, its hook, its line in the history."""
    state, note = _state_of(course, one)
    step = write_step(course, one, state, at, note)
    if one.kind == StepKind.ENDED:
        _end_access(course, at)
    said = WORDS[one.kind].format(number=one.number)
    cause = f"{said}: {told_of(course.invoice)} is unpaid since {course.failed_at:%Y-%m-%d %H:%M}"
    why = f"{cause}. {reason}" if reason else cause
    record(course, f"dunning.{one.kind}", why, at, actor=actor)
    if step.state == StepState.WAITING or one.kind in HOOKS:
        told = {
            "step": one.kind,
            "number": one.number,
            "mailed": step.state == StepState.WAITING,
            "pay_url": pay_url(course),
        }
        tell_of(course, HOOKS.get(one.kind, REMINDED), at, **told)
    return step


def _state_of(course: DunningCourse, one: Planned) -> tuple[StepState, str]:
    policy = policy_of(course.project)
    if not policy.enabled:
        return StepState.SILENT, "reminders are off for the project"
    if course.state == CourseState.PAUSED:
        return StepState.SILENT, f"paused: {course.paused_because}"
    if one.kind == StepKind.ENDED and not policy.tell_end:
        return StepState.SILENT, "the project tells nobody of the end"
    return StepState.WAITING, ""


def _end_access(course: DunningCourse, at: datetime) -> None:
    """What was granted ends by its own date; the key says from now on that it waits for money."""
    course.access_ended_at = course.access_until
    course.save(update_fields=["access_ended_at"])
    row = Subscription.objects.select_related("price__plan__api", "project").get(
        pk=course.subscription_id
    )
    window = access.subscription_window(
        row, grace=grace_of(row.project), lost_at=None, doubled=False
    )
    if row.price is None or access.is_open(window, at):
        return
    sale = provision.Sale(
        course.consumer, row.stripe_subscription_id, row.price, course.consumer.email
    )
    provision.provision(sale=sale, window=window, ended=False, at=at)
