"""Changes to come: a row each, which the sweeper in `scheduled` carries out when it is due.

Our own rows and not Stripe's schedules: a subscription under one of those refuses other changes,
and neither portal nor plan change would work meanwhile. A row survives an outage of either side,
and what comes late is settled as of the instant it was due.
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from billing import access
from billing.gateway import Object
from billing.models import Price, ScheduledChange, ScheduleState, Subscription
from billing.models.subscribing import SCHEDULED
from billing.shapes import instant
from billing.subscriptions import NotChangeable, preview_plan_change, read_subscription
from config.errors import Conflict, InvalidInput
from keystore import audit

# Before the renewal is drafted, so that its invoice has the new price.
AHEAD = timedelta(minutes=10)
FARTHEST = timedelta(days=730)


class AlreadyScheduled(Conflict):
    """Another change waits already."""

    code = "already_scheduled"


class NotScheduled(Conflict):
    """Nothing waits, or it is being carried out at this moment."""

    code = "not_scheduled"


def waiting_of(subscription: Subscription) -> ScheduledChange | None:
    """The change that is to come."""
    rows = ScheduledChange.objects.select_related("price__plan")
    return rows.filter(subscription=subscription, state__in=SCHEDULED).first()


def schedule_change(
    *,
    subscription: Subscription,
    price: Price,
    quantity: int | None,
    due_at: datetime | None,
    actor: str,
    reason: str,
    at: datetime,
) -> ScheduledChange:
    """Write down a change to `price` at `due_at`, None: with the next period.

    It is priced now, so that what cannot be done is refused now. Raises AlreadyScheduled,
    NotChangeable, AlreadySo, InvalidInput, StripeUnavailable.
    """
    if due_at is not None:
        _refuse_instant(due_at, at)
    preview_plan_change(
        subscription=subscription,
        price=price,
        quantity=quantity,
        prorate=due_at is not None,
        at=at.replace(microsecond=0),
    )
    when = _when(read_subscription(subscription), due_at)
    row = ScheduledChange(
        project=subscription.project,
        subscription=subscription,
        price=price,
        quantity=quantity,
        at_period_end=due_at is None,
        due_at=when,
        next_look_at=when,
        actor=actor,
        reason=reason,
        created_at=at,
    )
    return _write_down(row, "subscription.schedule")


def _when(found: Object, due_at: datetime | None) -> datetime:
    """When it is carried out. Raises NotChangeable for what ends before."""
    end, last = period_end(found), instant(found["cancel_at"])
    if last is not None and last <= (due_at or end):
        raise NotChangeable("It ends before that: take the cancellation back first.")
    return due_at or end - AHEAD


def period_end(found: Object) -> datetime:
    """When the running period of a subscription ends, as Stripe has it."""
    ends: list[int] = [item["current_period_end"] for item in found["items"]["data"]]
    return instant(max(ends))


def refuse_resumption(*, subscription: Subscription, due_at: datetime, at: datetime) -> None:
    """Raises what speaks against resuming a subscription by itself at `due_at`."""
    _refuse_instant(due_at, at)
    row = waiting_of(subscription)
    if row is not None and row.price is not None:
        raise AlreadyScheduled("A change of it is scheduled: withdraw that first, then pause.")


def write_resumption(
    *, subscription: Subscription, due_at: datetime, actor: str, reason: str, at: datetime
) -> ScheduledChange:
    """Write down that it goes on at `due_at`, in the transaction that writes the pause."""
    row = ScheduledChange(
        project=subscription.project,
        subscription=subscription,
        price=None,
        at_period_end=False,
        due_at=due_at,
        next_look_at=due_at,
        actor=actor,
        reason=reason,
        created_at=at,
    )
    return _write_down(row, "subscription.schedule_resumption")


def drop_resumption(*, subscription: Subscription, actor: str, at: datetime) -> None:
    """The pause ends now or begins anew: a resumption that waits is not for it any more."""
    row = waiting_of(subscription)
    if row is not None and row.price is None:
        said = "resumed or paused anew"
        end_waiting(row, state=ScheduleState.WITHDRAWN, said=said, actor=actor, at=at)


def _refuse_instant(due_at: datetime, at: datetime) -> None:
    if not at < due_at <= at + FARTHEST:
        raise InvalidInput(
            "The date must be to come, within two years.",
            errors=[
                {
                    "location": "body.at",
                    "message": "It is past, or too far away.",
                    "fix": "Send an instant to come, such as 2027-01-31T12:00:00Z.",
                }
            ],
        )


def _write_down(row: ScheduledChange, act: str) -> ScheduledChange:
    try:
        with transaction.atomic():
            row.save()
            audit.record(
                actor=row.actor,
                act=act,
                target=row.subscription,
                consumer=row.subscription.consumer,
                after={
                    "schedule": row.public_id,
                    "plan__code": row.price.plan.code if row.price else None,
                    "at": row.due_at,
                },
                reason=row.reason,
                at=row.created_at,
            )
            return row
    except IntegrityError as twin:
        if "schedule_once_per_subscription" not in str(twin):
            raise
        raise AlreadyScheduled(
            "A change of it is scheduled already: withdraw that first "
            "(DELETE /api/v1/subscriptions/{id}/schedule)."
        ) from twin


@transaction.atomic
def withdraw(
    *, subscription: Subscription, actor: str, reason: str, at: datetime
) -> ScheduledChange:
    """Take back what is to come. A pause whose end is withdrawn lasts until it is resumed."""
    row = waiting_of(subscription)
    if row is None or not end_waiting(
        row, state=ScheduleState.WITHDRAWN, said="withdrawn", actor=actor, reason=reason, at=at
    ):
        raise NotScheduled("Nothing is scheduled, or it is being carried out just now: look again.")
    row.refresh_from_db()
    return row


@transaction.atomic
def end_waiting(
    row: ScheduledChange,
    *,
    state: ScheduleState,
    said: str,
    actor: str,
    reason: str = "",
    at: datetime,
) -> bool:
    """End a row that was not sent yet, with its entry in the audit trail; False if it was."""
    rows = ScheduledChange.objects.filter(pk=row.pk, state=ScheduleState.WAITING)
    if not rows.update(state=state, problem=said, finished_at=at):
        return False
    audit.record(
        actor=actor,
        act=f"subscription.schedule_{state}",
        target=row.subscription,
        consumer=row.subscription.consumer,
        after={"schedule": row.public_id, "why": said},
        reason=reason,
        at=at,
    )
    return True


def is_ended(found: Object) -> bool:
    return found["status"] in access.ENDED
