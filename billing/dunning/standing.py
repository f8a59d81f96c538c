"""Where a course stands, in words for staff."""

from billing.models import CourseState, DunningCourse, DunningStep, StepKind, StepState

SAID = {
    StepKind.FAILED: "first mail",
    StepKind.REMINDER: "reminder {number}",
    StepKind.LAST: "last reminder",
    StepKind.ENDED: "mail about the end of access",
    StepKind.GONE: "mail about the end of the subscription",
    StepKind.RECOVERED: "mail of thanks",
}
DAY = "%Y-%m-%d"


def standing_of(course: DunningCourse) -> str:
    """ "reminder 1 sent 2026-11-03, access until 2026-11-08". Reads `steps`, prefetched or not."""
    if course.state == CourseState.CLOSED:
        return f"{course.outcome} {course.closed_at:{DAY}}"
    word = "access ended" if course.access_ended_at else "access until"
    parts = [_latest(course), f"{word} {course.access_until:{DAY}}"]
    if course.state == CourseState.PAUSED:
        parts.append(f"paused: {course.paused_because}")
    return ", ".join(part for part in parts if part)


def last_mail(course: DunningCourse) -> DunningStep | None:
    sent = [step for step in course.steps.all() if step.state == StepState.SENT]
    return max(sent, key=lambda step: step.sent_at or step.taken_at, default=None)


def told_of_step(step: DunningStep) -> str:
    """One step as a line: what, what became of it, when."""
    said = SAID[StepKind(step.kind)].format(number=step.number)
    when = step.sent_at or step.taken_at
    note = f" ({step.note})" if step.note else ""
    return f"{when:%Y-%m-%d %H:%M} {said}: {step.state}{note}"


def _latest(course: DunningCourse) -> str:
    step = last_mail(course)
    if step is None or step.sent_at is None:
        return "nobody was mailed yet"
    return f"{SAID[StepKind(step.kind)].format(number=step.number)} sent {step.sent_at:{DAY}}"
