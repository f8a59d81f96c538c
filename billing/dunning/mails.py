"""Sending the mails of the steps: claimed under a lease, sent outside any transaction, settled.

A worker that dies between the mail server's answer and the settlement leaves its lease, which runs
out, and the mail goes again under the same Message-ID: at least once, and never on purpose twice.
"""

import logging
import smtplib
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from billing.dunning.course import follow, is_over
from billing.dunning.letters import letter_of, send
from billing.models import (
    CourseState,
    DunningCourse,
    DunningStep,
    StepKind,
    StepState,
)

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)  # longer than the mail server may take
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
TOO_OLD = timedelta(days=3)  # a reminder that could not be sent for so long is no news
MOST_AT_ONCE = 200
AFTER_THE_END = (StepKind.RECOVERED, StepKind.GONE)
REFUSED_FOR_GOOD = 500  # SMTP's codes from here on


def send_due(*, clock: Callable[[], datetime], limit: int = MOST_AT_ONCE) -> int:
    """Send the mails that wait; returns how many went out."""
    if connection.in_atomic_block:
        raise RuntimeError("Mails are never sent inside a transaction.")
    due = DunningStep.objects.filter(_waiting(clock())).order_by("next_attempt_at")
    found = list(due.values_list("pk", flat=True)[:limit])
    return sum(_work(pk, clock) for pk in found)


def _waiting(at: datetime) -> Q:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    return free & Q(state=StepState.WAITING, next_attempt_at__lte=at)


def _work(pk: int, clock: Callable[[], datetime]) -> bool:
    step = _claim(pk, clock())
    if step is None:
        return False
    letter = letter_of(step.course, step.kind)
    try:
        send(letter, to=step.course.consumer.email, message_id=step.public_id)
    except OSError as problem:  # SMTP's own errors are such, too
        _postpone(step, problem, clock())
        return False
    return _settle(step, letter.language, clock())


@transaction.atomic
def _claim(pk: int, at: datetime) -> DunningStep | None:
    """Lease the mail, unless it has become untrue while it waited."""
    rows = DunningStep.objects.select_for_update(
        of=("self", "course"), skip_locked=True, no_key=True
    )
    step = (
        rows.select_related(
            "course__consumer", "course__project", "course__invoice", "course__subscription__plan"
        )
        .filter(_waiting(at), pk=pk)
        .first()
    )
    if step is None:
        return None
    problem = _why_not(step, at)
    if problem:
        _end(step, StepState.WITHDRAWN, problem)
        return None
    step.lease_until = at + LEASE
    DunningStep.objects.filter(pk=pk).update(
        lease_until=step.lease_until, attempts=F("attempts") + 1
    )
    return step


def _why_not(step: DunningStep, at: datetime) -> str:
    course: DunningCourse = step.course
    if is_over(course.consumer):
        return "the customer is gone"
    if not course.consumer.email:
        return "no address is known"
    if step.kind in AFTER_THE_END:
        return ""
    if course.state != CourseState.CLOSED:
        follow(course, at)
    return "" if course.state != CourseState.CLOSED else f"the invoice is {course.outcome}"


def _end(step: DunningStep, state: StepState, note: str) -> None:
    DunningStep.objects.filter(pk=step.pk, state=StepState.WAITING).update(
        state=state, note=note, lease_until=None
    )


def _settle(step: DunningStep, language: str, at: datetime) -> bool:
    """What left is sent, also when the invoice was paid while it was under way."""
    rows = DunningStep.objects.filter(pk=step.pk).exclude(state=StepState.SENT)
    sent = rows.update(
        state=StepState.SENT, sent_at=at, language=language, note="", lease_until=None
    )
    return bool(sent)


def _postpone(step: DunningStep, problem: OSError, at: datetime) -> None:
    logger.warning("dunning.not_sent", extra={"step": step.public_id}, exc_info=True)
    if _is_final(problem):
        _end(step, StepState.FAILED, "the mail server refuses the address")
        return
    if at - step.taken_at > TOO_OLD:
        _end(step, StepState.FAILED, "the mail server was away for too long")
        return
    wait = min(FIRST_WAIT * 2 ** min(step.attempts, 10), LONGEST_WAIT)
    DunningStep.objects.filter(pk=step.pk, lease_until=step.lease_until).update(
        lease_until=None, next_attempt_at=at + wait
    )


def _is_final(problem: OSError) -> bool:
    """The one recipient was refused, and not only for now."""
    if not isinstance(problem, smtplib.SMTPRecipientsRefused):
        return False
    return all(code >= REFUSED_FOR_GOOD for code, _ in problem.recipients.values())
