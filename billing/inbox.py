"""Working off what Stripe told us: claim, bring the customer up to date, mark done.

An event only says that something changed. Pending events of one customer are worked off together
by one `sync_customer`; those without a customer are resolved, mirrored, or ignored with a reason.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet

from billing import catalog_events, gateway
from billing.attempts import kind_of, note_attempts
from billing.market import events as market_events
from billing.models import InboxEvent, InboxState, Invoice, Payment
from billing.receipt import customer_of, reason_to_ignore
from billing.shapes import ref
from billing.snapshot import Touched
from billing.sync import NotOurs, SyncReport, sync_customer
from config.errors import Conflict, DomainError, Unavailable
from keystore import audit
from keystore.correlation import bound

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 12
BUDGET_SECONDS = 25.0
FIRST_RETRY_SECONDS = 2
LONGEST_RETRY_SECONDS = 600
MOST_TOGETHER = 200  # events that one sync serves
Clock = Callable[[], datetime]


def work_due(*, clock: Clock, limit: int = 50, seconds: float = BUDGET_SECONDS) -> int:
    """Work off pending events that are due; returns how many events reached an end or a retry.

    Begins no new one after `seconds`: a task must end before the queue thinks it lost.
    """
    worked = 0
    stop_at = time.monotonic() + seconds
    while worked < limit and time.monotonic() < stop_at:
        event = _claim_one(clock())
        if event is None:
            return worked
        with bound(event.correlation_id):
            worked += _work(event, clock)
    return worked


def _due(at: datetime) -> QuerySet[InboxEvent]:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    return InboxEvent.objects.filter(free, state=InboxState.PENDING, next_attempt_at__lte=at)


def _claim_one(at: datetime) -> InboxEvent | None:
    """Take the lease on the oldest due event and on all others of its customer."""
    with transaction.atomic():
        event = (
            _due(at)
            .order_by("next_attempt_at", "pk")
            .select_for_update(of=("self",), skip_locked=True, no_key=True)
            .first()
        )
        if event is None:
            return None
        InboxEvent.objects.filter(pk=event.pk).update(
            lease_until=at + LEASE, attempts=F("attempts") + 1
        )
        _lease_siblings(event, at)
    event.refresh_from_db()
    return event


def _lease_siblings(event: InboxEvent, at: datetime) -> None:
    """One sync serves all events of a customer, so no second worker is to wait for its lock."""
    if not event.stripe_customer_id:
        return
    siblings = InboxEvent.objects.filter(
        stripe_customer_id=event.stripe_customer_id, state=InboxState.PENDING
    ).select_for_update(of=("self",), skip_locked=True, no_key=True)
    found = list(siblings.values_list("pk", flat=True))
    InboxEvent.objects.filter(pk__in=found).update(lease_until=at + LEASE)


def _work(event: InboxEvent, clock: Clock) -> int:
    try:
        customer_id = event.stripe_customer_id or resolve_customer(event)
        if customer_id:
            return _sync(event, customer_id, clock)
        note = catalog_events.follow(event) or market_events.follow(event, clock)
        return _finish(
            event, InboxState.DONE if note else InboxState.IGNORED, note or _no_use(event), clock()
        )
    except NotOurs as why:
        return _finish(event, InboxState.IGNORED, str(why), clock())
    except gateway.StripeMissing as missing:
        return _finish(event, InboxState.IGNORED, missing.message, clock())
    except Exception as problem:  # noqa: BLE001
        # Whatever it is, other events must go on, and this one must be tried again and shown.
        return _fail(event, problem, clock())


def _no_use(event: InboxEvent) -> str:
    return f"nothing here follows {event.type} without a customer"


def _sync(event: InboxEvent, customer_id: str, clock: Clock) -> int:
    """One sync for every event of the customer that is here before Stripe is asked."""
    waiting = InboxEvent.objects.filter(
        Q(stripe_customer_id=customer_id) | Q(pk=event.pk), state=InboxState.PENDING
    )
    batch = list(waiting.order_by("pk")[:MOST_TOGETHER])
    touched = [touched_by(each) for each in batch]

    def mark_done(report: SyncReport) -> None:
        at, note = clock(), report.summary()
        note_attempts(events=batch, outcome=InboxState.DONE, said=note, at=at)
        InboxEvent.objects.filter(
            pk__in=[each.pk for each in batch], state=InboxState.PENDING
        ).update(
            state=InboxState.DONE,
            stripe_customer_id=customer_id,
            note=note,
            lease_until=None,
            last_error="",
            failure="",
            finished_at=at,
        )
        # More than one sync serves: the rest need not wait for the lease to run out.
        waiting.update(lease_until=None)
        _record_batch(batch, report, clock())

    sync_customer(stripe_customer_id=customer_id, clock=clock, touched=touched, also=mark_done)
    return len(batch)


def _record_batch(batch: list[InboxEvent], report: SyncReport, at: datetime) -> None:
    """What changed carries the id of the first event: say which others led to it as well."""
    if len(batch) > 1 and (report.changed_rows or report.changed_grants):
        audit.record(
            actor="stripe",
            act="customer.sync",
            target=report.consumer,
            consumer=report.consumer,
            after={"events": [event.event_id for event in batch]},
            at=at,
        )


def touched_by(event: InboxEvent) -> Touched:
    """The object that the event is about, as a sync wants it named."""
    return _object(event).get("object", ""), event.object_id


def _object(event: InboxEvent) -> gateway.Object:
    data = event.payload.get("data")
    inner = data.get("object") if isinstance(data, dict) else None
    return inner if isinstance(inner, dict) else {}


def resolve_customer(event: InboxEvent) -> str:
    """Refunds and disputes name only their charge, payments of invoices only the invoice: ask
    our own rows first, then Stripe.
    """
    inner = _object(event)
    charge_id, invoice_id = ref(inner.get("charge")), ref(inner.get("invoice"))
    payment = Payment.objects.filter(stripe_charge_id=charge_id).first()
    known = payment or Invoice.objects.filter(stripe_invoice_id=invoice_id).first()
    if known is not None:
        return known.consumer.stripe_customer.stripe_customer_id
    if charge_id:
        return customer_of(gateway.read(f"/v1/charges/{charge_id}"))
    if invoice_id:
        return customer_of(gateway.read(f"/v1/invoices/{invoice_id}"))
    return ""


@transaction.atomic
def _finish(event: InboxEvent, state: InboxState, note: str, at: datetime) -> int:
    note_attempts(events=[event], outcome=state, said=note, at=at)
    _siblings(event).update(lease_until=None)  # theirs is another end, and need not wait
    return InboxEvent.objects.filter(pk=event.pk, state=InboxState.PENDING).update(
        state=state, note=note, lease_until=None, last_error="", failure="", finished_at=at
    )


def _fail(event: InboxEvent, problem: Exception, at: datetime) -> int:
    """Try again later, longer each time; park what fails for a reason of its own.

    An outage is no reason to park: it ends, and then everything must go on by itself.
    """
    outage = isinstance(problem, Unavailable | DatabaseError)
    parked = event.attempts >= MAX_ATTEMPTS and not outage
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(event.attempts, 10), LONGEST_RETRY_SECONDS)
    next_attempt_at = at + timedelta(seconds=seconds * random.uniform(0.5, 1.0))
    said = problem.message if isinstance(problem, DomainError) else repr(problem)
    log = logger.error if parked else logger.warning
    log(
        "inbox.parked" if parked else "inbox.retry",
        extra={"event_id": event.event_id, "attempts": event.attempts, "why": said},
        exc_info=not isinstance(problem, DomainError),
    )
    state = InboxState.PARKED if parked else InboxState.PENDING
    with transaction.atomic():
        note_attempts(events=[event], outcome=state, said=said, at=at)
        _let_siblings_wait(event, at if parked else next_attempt_at)
        return InboxEvent.objects.filter(pk=event.pk, state=InboxState.PENDING).update(
            state=state,
            lease_until=None,
            next_attempt_at=next_attempt_at,
            last_error=said,
            failure=kind_of(said),
            finished_at=at if parked else None,
        )


def _let_siblings_wait(event: InboxEvent, until: datetime) -> None:
    """The other events of the customer would fail alike: they wait for the next try together."""
    _siblings(event).update(lease_until=None, next_attempt_at=until)


def _siblings(event: InboxEvent) -> QuerySet[InboxEvent]:
    """The other events of its customer that wait; none without a customer."""
    if not event.stripe_customer_id:
        return InboxEvent.objects.none()
    waiting = InboxEvent.objects.filter(state=InboxState.PENDING)
    return waiting.filter(stripe_customer_id=event.stripe_customer_id).exclude(pk=event.pk)


class NotReplayable(Conflict):
    code = "not_replayable"


@transaction.atomic
def replay(*, event: InboxEvent, actor: str, reason: str, at: datetime) -> None:
    """Put an event back to be worked on. What it leads to is Stripe's state now, so replaying
    is always safe. Raises NotReplayable for one that must not change anything here.
    """
    why = reason_to_ignore(event.payload)
    if why:
        raise NotReplayable(f"{event.event_id} cannot be replayed: {why}.")
    audit.record(
        actor=actor,
        act="inbox.replay",
        target=event,
        before={"state": event.state, "attempts": event.attempts},
        after={"state": InboxState.PENDING},
        reason=reason,
    )
    InboxEvent.objects.filter(pk=event.pk).update(
        state=InboxState.PENDING,
        attempts=0,
        next_attempt_at=at,
        lease_until=None,
        note="",
        last_error="",
        failure="",
        finished_at=None,
    )
