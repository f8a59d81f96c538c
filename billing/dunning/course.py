"""The course of an unpaid renewal, as our projections have it: begun, followed, closed.

Everything is read from what a sync wrote, never from an event, so that late, doubled and missing
events lead to the same course.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from billing import access
from billing.dunning.schedule import Planned, open_of, plan_of
from billing.grace import grace_of
from billing.models import (
    CourseEnd,
    CourseState,
    DunningCourse,
    DunningPolicy,
    DunningStep,
    Invoice,
    Payment,
    StepKind,
    StepState,
    StripeCustomer,
    Subscription,
)
from billing.money import shown
from billing.snapshot import UNPAID, Touched
from keystore import audit
from keystore.doorbell import ring
from keystore.models import Consumer, Project
from keystore.outbox import tell

ACTOR = "system"
JOB = "billing.tasks.work_dunning"
GAVE_UP = "payment_failed"  # Stripe's word for why it ended a subscription
INVOICE_ENDS = {
    "paid": CourseEnd.PAID,
    "void": CourseEnd.VOID,
    "uncollectible": CourseEnd.UNCOLLECTIBLE,
}


def policy_of(project: Project) -> DunningPolicy:
    """The project's policy, or what holds without one."""
    found = DunningPolicy.objects.filter(project=project).first()
    return found or DunningPolicy(project=project)


def unpaid_of(holder: StripeCustomer | None) -> Iterator[Touched]:
    """The invoices that a sync must look at, whether or not an event names them."""
    rows = DunningCourse.objects.exclude(state=CourseState.CLOSED)
    rows = rows.filter(consumer=holder.consumer_id if holder else None)
    for invoice_id in rows.values_list("invoice__stripe_invoice_id", flat=True):
        yield "invoice", invoice_id


def hold_courses(consumer: Consumer) -> None:
    """Lock the consumer's open courses, before anything else of theirs: whoever takes a step
    locks its course first and then the key that it shuts.
    """
    list(_held(consumer).values_list("pk"))


@transaction.atomic
def follow_courses(*, consumer: Consumer, at: datetime) -> None:
    """Begin, go on with and close the courses of a consumer by what the projections say now."""
    for course in _held(consumer):
        follow(course, at)
    for invoice, subscription in _failed(consumer):
        _begin(invoice, subscription, at)


def _held(consumer: Consumer) -> QuerySet[DunningCourse]:
    rows = _rows().exclude(state=CourseState.CLOSED).filter(consumer=consumer)
    return rows.select_for_update(of=("self",), no_key=True).order_by("pk")


def locked(pk: int) -> DunningCourse | None:
    """The course, held until the end of the transaction; None while somebody else has it."""
    rows = _rows().filter(pk=pk).select_for_update(of=("self",), skip_locked=True, no_key=True)
    return rows.first()


def _rows() -> QuerySet[DunningCourse]:
    return DunningCourse.objects.select_related("consumer", "project", "invoice", "subscription")


def follow(course: DunningCourse, at: datetime) -> None:
    """Bring one open course, which is locked, up to date; say when its sweeper looks again."""
    end = _end_of(course)
    if end is not None:
        close(course, end, at)
        return
    course.access_until = access_until(course.subscription, known=course.access_until, at=at)
    plan_ahead(course)


def plan_ahead(course: DunningCourse) -> None:
    """Write down when the next step is due, and ring if somebody may wait for it."""
    ahead = open_of(plan_for(course), taken=taken_in(course))
    if course.state == CourseState.PAUSED:
        ahead = [one for one in ahead if one.kind == StepKind.ENDED]
    course.next_at = min((one.due_at for one in ahead), default=None)
    course.save(update_fields=["next_at", "access_until"])
    if course.next_at is not None:
        transaction.on_commit(partial(ring, JOB))


def plan_for(course: DunningCourse) -> list[Planned]:
    return plan_of(
        terms=policy_of(course.project),
        failed_at=course.failed_at,
        access_until=course.access_until,
    )


def taken_in(course: DunningCourse) -> list[Planned]:
    rows = course.steps.all()
    return [Planned(row.code, StepKind(row.kind), row.number, row.due_at) for row in rows]


def access_until(row: Subscription, *, known: datetime | None, at: datetime) -> datetime:
    """When an unpaid subscription stops giving access, or stopped."""
    grace = grace_of(row.project)
    window = access.subscription_window(row, grace=grace, lost_at=None, doubled=False)
    if window is not None and window[1] is not None:
        return window[1]
    ended = row.ended_at or at
    return min(known, ended) if known else ended


def owed(invoice: Invoice) -> int:
    """What is still to pay, in the smallest unit of the invoice's currency."""
    if invoice.remaining_minor is not None:
        return invoice.remaining_minor
    return max(0, invoice.total_minor - invoice.paid_minor)


def is_over(consumer: Consumer) -> CourseEnd | None:
    """Why nobody is written to any more who was written to before."""
    if consumer.erased_at is not None:
        return CourseEnd.ERASED
    return CourseEnd.MERGED if consumer.merged_into_id else None


def _end_of(course: DunningCourse) -> CourseEnd | None:
    gone = is_over(course.consumer)
    if gone is not None:
        return gone
    end = INVOICE_ENDS.get(course.invoice.status)
    if end == CourseEnd.PAID and not course.invoice.paid_minor:
        return CourseEnd.CREDITED
    if end is None and course.subscription.status in access.ENDED:
        return CourseEnd.CANCELLED
    if end is None and course.subscription.status in access.PAYING:
        return CourseEnd.SUPERSEDED  # a newer renewal was paid: access does not hang on this one
    return end


def _failed(consumer: Consumer) -> Iterator[tuple[Invoice, Subscription]]:
    """The newest open invoice of each subscription whose renewal failed, unless it has a course."""
    if is_over(consumer) is not None:
        return
    subscriptions = Subscription.objects.filter(consumer=consumer, status__in=UNPAID)
    for subscription in subscriptions.select_related("project"):
        rows = Invoice.objects.filter(
            consumer=consumer, stripe_subscription_id=subscription.stripe_subscription_id
        )
        newest = rows.exclude(status="draft").order_by("-created_at", "-pk").first()
        if newest is None or newest.status != "open" or hasattr(newest, "dunning_course"):
            continue
        yield newest, subscription


def _begin(invoice: Invoice, subscription: Subscription, at: datetime) -> None:
    older = _rows().exclude(state=CourseState.CLOSED).filter(subscription=subscription)
    for course in older.select_for_update(of=("self",), no_key=True):
        close(course, CourseEnd.SUPERSEDED, at)
    course = DunningCourse.objects.create(
        project=subscription.project,
        consumer=invoice.consumer,
        invoice=invoice,
        subscription=subscription,
        failed_at=_failed_at(invoice),
        access_until=access_until(subscription, known=None, at=at),
        created_at=at,
    )
    record(course, "dunning.begin", f"the payment of {told_of(invoice)} failed", at)
    plan_ahead(course)


def _failed_at(invoice: Invoice) -> datetime:
    """The first charge that failed; a bank that wanted a confirmation leaves none."""
    failures = Payment.objects.filter(
        project=invoice.project, stripe_invoice_id=invoice.stripe_invoice_id, status="failed"
    )
    first = failures.order_by("created_at").values_list("created_at", flat=True).first()
    return first or invoice.created_at


@transaction.atomic
def close(course: DunningCourse, end: CourseEnd, at: datetime) -> None:
    """Nothing more is sent about the invoice, but that it was paid or came to nothing."""
    withdrawn = course.steps.filter(state=StepState.WAITING)
    withdrawn.update(state=StepState.WITHDRAWN, note=f"the invoice is {end}", lease_until=None)
    course.state, course.outcome = CourseState.CLOSED, end
    course.closed_at, course.next_at = at, None
    course.save(update_fields=["state", "outcome", "closed_at", "next_at"])
    record(course, "dunning.close", f"{told_of(course.invoice)}: {end}", at)
    if end in (CourseEnd.PAID, CourseEnd.CREDITED):
        told = {"access_was_lost": course.access_ended_at is not None}
        tell_of(course, "payment.recovered", at, **told)
    _last_word(course, end, at)


def _last_word(course: DunningCourse, end: CourseEnd, at: datetime) -> None:
    """A mail about the end, to whoever was mailed about the failure."""
    policy = policy_of(course.project)
    gave_up = end == CourseEnd.CANCELLED and course.subscription.ended_because == GAVE_UP
    if end == CourseEnd.PAID and policy.tell_recovery:
        kind = StepKind.RECOVERED
    elif gave_up and policy.tell_end:
        kind = StepKind.GONE
    else:
        return
    if policy.enabled and course.steps.filter(state=StepState.SENT).exists():
        write_step(course, Planned(kind, kind, 0, at), StepState.WAITING, at)


def write_step(
    course: DunningCourse, one: Planned, state: StepState, at: datetime, note: str = ""
) -> DunningStep:
    """Take a step; its mail, if it has one, leaves after the commit."""
    waits = state == StepState.WAITING
    if waits and not course.consumer.email:
        waits, state, note = False, StepState.SILENT, "no address is known"
    step = DunningStep.objects.create(
        course=course,
        code=one.code,
        kind=one.kind,
        number=one.number,
        state=state,
        note=note,
        due_at=one.due_at,
        taken_at=at,
        next_attempt_at=at if waits else None,
    )
    if waits:
        transaction.on_commit(partial(ring, JOB))
    return step


def told_of(invoice: Invoice) -> str:
    """An invoice as the audit trail names it."""
    return f"invoice {invoice} of {shown(owed(invoice) or invoice.total_minor, invoice.currency)}"


def record(
    course: DunningCourse, act: str, reason: str, at: datetime, *, actor: str = ACTOR
) -> None:
    audit.record(
        actor=actor, act=act, target=course, consumer=course.consumer, reason=reason, at=at
    )


def tell_of(course: DunningCourse, kind: str, at: datetime, **more: object) -> None:
    tell(
        project=course.project,
        consumer=course.consumer,
        kind=kind,
        data={**course_told(course), **more},
        at=at,
    )


def course_told(course: DunningCourse) -> dict[str, object]:
    """A course as receivers of hooks see it."""
    invoice = course.invoice
    return {
        "dunning_id": course.public_id,
        "user_id": course.consumer.external_id,
        "consumer_id": course.consumer.public_id,
        "invoice_id": invoice.stripe_invoice_id,
        "number": invoice.number or None,
        "subscription_id": course.subscription.stripe_subscription_id,
        "amount_minor": owed(invoice),
        "currency": invoice.currency,
        "failed_at": course.failed_at,
        "access_until": course.access_until,
        "access_ended_at": course.access_ended_at,
    }


def look_again(*, project: Project, at: datetime) -> int:
    """Reckon anew what is due in a project's open courses: its schedule has changed."""
    rows = DunningCourse.objects.filter(project=project).exclude(state=CourseState.CLOSED)
    changed = rows.update(next_at=at)
    transaction.on_commit(partial(ring, JOB))
    return changed
