"""The sweeper of changes to come: each is carried out once, for what it cost when it was due."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from billing import gateway, subscription_desk
from billing.models import (
    Operation,
    OperationState,
    ScheduledChange,
    ScheduleState,
    Subscription,
)
from billing.models.subscribing import SCHEDULED
from billing.news import subscription_told
from billing.operations import OperationPending
from billing.schedules import AHEAD, end_waiting, is_ended, period_end
from billing.shapes import instant
from billing.subscription_desk import PreviewOutdated
from billing.subscriptions import (
    AlreadySo,
    ChangePreview,
    preview_plan_change,
    preview_resume,
    read_subscription,
)
from config.errors import DomainError, Unavailable
from keystore import audit
from keystore.outbox import tell

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
ACTOR = "system"
LEASE = timedelta(seconds=60)  # longer than one change may take
LATER = timedelta(seconds=60)
FAILED = "subscription.change_failed"


def carry_out_due(*, clock: Clock, limit: int = 20) -> int:
    """Carry out what is due; returns how many rows reached an end."""
    at = clock()
    due = ScheduledChange.objects.filter(state__in=SCHEDULED, next_look_at__lte=at)
    rows = due.select_related(
        "subscription__consumer__stripe_customer", "subscription__project", "price__plan"
    )
    found = list(rows.order_by("next_look_at")[:limit])
    return sum(_claim(row, at) and _work(row, clock) for row in found)


def _claim(row: ScheduledChange, at: datetime) -> bool:
    """Of several workers one has it, for as long as the lease."""
    free = ScheduledChange.objects.filter(pk=row.pk, next_look_at=row.next_look_at)
    return bool(free.update(next_look_at=at + LEASE))


def _work(row: ScheduledChange, clock: Clock) -> bool:
    try:
        if row.state == ScheduleState.WAITING:
            _send(row, clock)
    except AlreadySo as so:
        end_waiting(row, state=ScheduleState.DONE, said=so.message, actor=ACTOR, at=clock())
    except (Unavailable, OperationPending, PreviewOutdated, gateway.OutcomeUnknown) as problem:
        logger.warning("schedule.postponed", extra={"row": row.public_id, "why": str(problem)})
        ScheduledChange.objects.filter(pk=row.pk).update(next_look_at=clock() + LATER)
    except DomainError as refusal:
        _fail(row, refusal.message, clock())
    return _finish(row, clock())


def _send(row: ScheduledChange, clock: Clock) -> None:
    found = read_subscription(row.subscription)
    if is_ended(found):
        said = "the subscription ended before"
        end_waiting(row, state=ScheduleState.WITHDRAWN, said=said, actor=ACTOR, at=clock())
        return
    end = period_end(found)
    if row.at_period_end and clock() < end - AHEAD and _in_the_same_period(row, found):
        # The period was moved since: it is due with the end that holds now.
        _postpone(row, end - AHEAD)
        return
    subscription_desk.commit(
        price_it=lambda: _priced(row, found, clock()),
        subscription=row.subscription,
        act="subscription.scheduled_change" if row.price else "subscription.resume",
        actor=ACTOR,
        reason=row.reason,
        clock=clock,
        also=lambda operation: _mark_sent(row, operation),
    )


def _in_the_same_period(row: ScheduledChange, found: gateway.Object) -> bool:
    """Whether the period that it was meant to follow has not ended yet."""
    return _begun(found) <= row.due_at


def _begun(found: gateway.Object) -> datetime:
    starts: list[int] = [item["current_period_start"] for item in found["items"]["data"]]
    return instant(max(starts))


def _postpone(row: ScheduledChange, due_at: datetime) -> None:
    ScheduledChange.objects.filter(pk=row.pk, state=ScheduleState.WAITING).update(
        due_at=due_at, next_look_at=due_at
    )


def _priced(row: ScheduledChange, found: gateway.Object, at: datetime) -> ChangePreview:
    """As of the instant it was due; what is late by a period, as of the period's start."""
    if row.price is None:
        return preview_resume(subscription=row.subscription, at=at.replace(microsecond=0))
    begun = _begun(found)
    is_late = begun > row.due_at
    return preview_plan_change(
        subscription=row.subscription,
        price=row.price,
        quantity=row.quantity,
        # In time, the new price begins with the next period and nothing is to be settled.
        prorate=not row.at_period_end or is_late,
        at=max(row.due_at, begun).replace(microsecond=0),
    )


def _mark_sent(row: ScheduledChange, operation: Operation) -> None:
    mine = ScheduledChange.objects.filter(pk=row.pk, state=ScheduleState.WAITING)
    if not mine.update(state=ScheduleState.SENT, operation=operation):
        raise AlreadySo("It was withdrawn.")


def _finish(row: ScheduledChange, at: datetime) -> bool:
    """Take over how its operation ended; while that is open, the janitor is at it."""
    row.refresh_from_db()
    if row.state != ScheduleState.SENT or row.operation is None:
        return row.state not in SCHEDULED
    if row.operation.state == OperationState.DONE:
        _end(row, ScheduleState.DONE, "", at)
    elif row.operation.state == OperationState.FAILED:
        _fail(row, row.operation.error, at)
    return row.operation.state in (OperationState.DONE, OperationState.FAILED)


@transaction.atomic
def _fail(row: ScheduledChange, problem: str, at: datetime) -> None:
    """The old plan stays, and the project is told."""
    if not _end(row, ScheduleState.FAILED, problem, at):
        return
    subscription = Subscription.objects.select_related(
        "consumer__stripe_customer", "plan", "price", "project"
    ).get(pk=row.subscription_id)
    told = subscription_told(subscription, subscription.consumer.stripe_customer)
    audit.record(
        actor=ACTOR,
        act="subscription.schedule_failed",
        target=subscription,
        consumer=subscription.consumer,
        after={"schedule": row.public_id, "why": problem},
        at=at,
    )
    data = {**told, "schedule": row.public_id, "reason": problem}
    tell(
        project=subscription.project, consumer=subscription.consumer, kind=FAILED, data=data, at=at
    )


def _end(row: ScheduledChange, state: ScheduleState, problem: str, at: datetime) -> int:
    return ScheduledChange.objects.filter(pk=row.pk, state__in=SCHEDULED).update(
        state=state, problem=problem, finished_at=at
    )
