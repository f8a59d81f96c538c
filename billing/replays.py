"""Replaying many events: a row that says which, worked off bit by bit, resumed after a crash."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Q, QuerySet

from billing.inbox import NotReplayable, replay
from billing.models import InboxEvent, InboxState, ReplayRun, ReplayState
from billing.preview import NOTHING, preview_replay
from config.errors import DomainError, InvalidInput, Unavailable
from keystore import audit
from keystore.correlation import bound, current_request_id
from keystore.doorbell import ring
from keystore.models import Project

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]

LEASE = timedelta(seconds=60)
AT_ONCE = 100  # replays of one transaction
AT_ONCE_DRY = 10  # each asks Stripe
BUDGET_SECONDS = 25.0
MOST_REPORTED = 500
TASK = "billing.tasks.work_replays"


@dataclass(frozen=True)
class Choice:
    """Which events: all conditions hold together, an empty one holds for every event."""

    event_ids: Sequence[str] = field(default_factory=tuple)
    type: str = ""
    state: str = ""
    failure: str = ""
    since: datetime | None = None
    until: datetime | None = None  # None: up to now
    project: Project | None = None  # None: of every project


@transaction.atomic
def start_replay(
    *, choice: Choice, dry_run: bool, reason: str, actor: str, at: datetime
) -> ReplayRun:
    """Write down which events are to be replayed, or only looked at. Raises InvalidInput when
    nothing chooses them, when the range is empty, or when no event is among them.
    """
    _check(choice, at)
    run = ReplayRun(
        project=choice.project,
        type=choice.type,
        event_state=choice.state,
        failure=choice.failure,
        event_ids=list(choice.event_ids),
        since=choice.since,
        until=min(choice.until or at, at),
        dry_run=dry_run,
        started_by=actor,
        reason=reason,
        request_id=current_request_id(),
        created_at=at,
    )
    run.total = events_of(run).count()
    if not run.total:
        raise InvalidInput("No event is chosen by this. Widen the range or the filters.")
    run.save(force_insert=True)
    if not dry_run:
        audit.record(
            actor=actor,
            act="inbox.replay_range",
            target=run,
            project=choice.project,
            after=_conditions(run),
            reason=reason,
        )
    logger.info("replay.started", extra={"replay": run.public_id, "events": run.total})
    transaction.on_commit(partial(ring, TASK))
    return run


def _check(choice: Choice, at: datetime) -> None:
    chosen = [choice.event_ids, choice.type, choice.state, choice.failure, choice.since]
    if not any(chosen):
        raise InvalidInput("Choose events: by id, type, state, failure or time.")
    if choice.state and choice.state not in InboxState.values:
        raise InvalidInput(f"There is no state {choice.state}.")
    if choice.since is not None and choice.since >= min(choice.until or at, at):
        raise InvalidInput("The range ends before it begins, or begins in the future.")


def _conditions(run: ReplayRun) -> dict[str, object]:
    return {
        "events": run.total,
        "type": run.type,
        "state": run.event_state,
        "failure": run.failure,
        "since": run.since,
        "until": run.until,
    }


def events_of(run: ReplayRun) -> QuerySet[InboxEvent]:
    """The events that the run is about, the oldest first."""
    rows = InboxEvent.objects.filter(received_at__lte=run.until)
    if run.event_ids:
        rows = rows.filter(event_id__in=run.event_ids)
    if run.type:
        rows = rows.filter(type=run.type)
    if run.event_state:
        rows = rows.filter(state=run.event_state)
    if run.failure:
        rows = rows.filter(failure=run.failure)
    if run.since is not None:
        rows = rows.filter(received_at__gte=run.since)
    if run.project is not None:
        own = run.project.stripe_customers.values("stripe_customer_id")
        rows = rows.filter(stripe_customer_id__in=own)
    return rows.order_by("pk")


def is_looked_at(run: ReplayRun) -> bool:
    """Whether it is a dry run that has seen every event: its events may be replayed."""
    return run.dry_run and run.state == ReplayState.DONE


def replay_looked_at(*, looked: ReplayRun, reason: str, actor: str, at: datetime) -> ReplayRun:
    """Replay what a finished dry run chose, up to the same instant: nothing that came since.

    What was replayed meanwhile has another state, and is chosen no more where a state was named.
    Raises InvalidInput for a run that is no finished dry run, or when no event is left.
    """
    if not is_looked_at(looked):
        raise InvalidInput("Only a dry run that has ended can be replayed.")
    choice = Choice(
        event_ids=looked.event_ids,
        type=looked.type,
        state=looked.event_state,
        failure=looked.failure,
        since=looked.since,
        until=looked.until,
        project=looked.project,
    )
    return start_replay(choice=choice, dry_run=False, reason=reason, actor=actor, at=at)


def unfinished() -> list[ReplayRun]:
    """Runs that are under way, for the desk."""
    return list(ReplayRun.objects.filter(state=ReplayState.RUNNING).order_by("pk")[:10])


@transaction.atomic
def stop_replay(*, run: ReplayRun, reason: str, actor: str, at: datetime) -> bool:
    """Go no further; what was replayed stays replayed. False if it had ended before."""
    open_one = ReplayRun.objects.filter(pk=run.pk, state=ReplayState.RUNNING)
    stopped = open_one.update(state=ReplayState.STOPPED, finished_at=at)
    if stopped:
        audit.record(actor=actor, act="inbox.replay_stop", target=run, reason=reason)
    return bool(stopped)


def work_replays(*, clock: Clock, seconds: float = BUDGET_SECONDS) -> int:
    """Go on with the runs that wait; returns how many events were handled."""
    stop_at, handled = time.monotonic() + seconds, 0
    while time.monotonic() < stop_at:
        run = _claim(clock())
        if run is None:
            break
        with bound(run.request_id or run.public_id):
            handled += _work(run, clock, stop_at)
    return handled


def _claim(at: datetime) -> ReplayRun | None:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    with transaction.atomic():
        rows = ReplayRun.objects.filter(free, state=ReplayState.RUNNING).order_by("pk")
        run = rows.select_for_update(of=("self",), skip_locked=True, no_key=True).first()
        if run is not None:
            ReplayRun.objects.filter(pk=run.pk).update(lease_until=at + LEASE)
    return run


def _work(run: ReplayRun, clock: Clock, stop_at: float) -> int:
    """Bit by bit until it ends or the time is up. An outage leaves it for the next tick."""
    handled = 0
    try:
        while time.monotonic() < stop_at:
            size = AT_ONCE_DRY if run.dry_run else AT_ONCE
            events = list(events_of(run).filter(pk__gt=run.cursor)[:size])
            if not events:
                _end(run, clock())
                return handled
            act = _look_at if run.dry_run else _replay
            if not act(run, events, clock):
                return handled  # stopped meanwhile
            handled += len(events)
            run.refresh_from_db()
    except Unavailable as outage:
        logger.warning("replay.waits", extra={"replay": run.public_id, "why": outage.message})
        return handled
    ReplayRun.objects.filter(pk=run.pk).update(lease_until=None)
    return handled


def _end(run: ReplayRun, at: datetime) -> None:
    ended = ReplayRun.objects.filter(pk=run.pk, state=ReplayState.RUNNING).update(
        state=ReplayState.DONE, finished_at=at, lease_until=None
    )
    if ended:
        logger.info(
            "replay.done", extra={"replay": run.public_id, "handled": run.handled, "of": run.total}
        )


@transaction.atomic
def _replay(run: ReplayRun, events: list[InboxEvent], clock: Clock) -> bool:
    """The events and the run's place in one transaction, so that none is replayed twice."""
    own_turn = ReplayRun.objects.filter(pk=run.pk, state=ReplayState.RUNNING, cursor=run.cursor)
    if not own_turn.select_for_update(of=("self",), no_key=True).exists():
        return False
    at, refusals = clock(), []
    for event in events:
        try:
            replay(event=event, actor=run.started_by, reason=run.reason, at=at)
        except NotReplayable as refusal:
            refusals.append(_line(event, [refusal.message]))
    transaction.on_commit(partial(ring, "billing.tasks.work_inbox"))
    return _advance(run, events, refusals, at, refused=len(refusals))


def _look_at(run: ReplayRun, events: list[InboxEvent], clock: Clock) -> bool:
    """What each would change; a customer's events lead to one sync, so one look is enough."""
    lines, changing, refused = [], 0, 0
    seen = {line["customer"] for line in run.report}
    for event in events:
        customer = event.stripe_customer_id
        if customer and customer in seen:
            continue
        seen.add(customer)
        try:
            said = preview_replay(event=event, clock=clock)
        except Unavailable:
            raise
        except DomainError as refusal:
            said, refused = [refusal.message], refused + 1
        changing += said != [NOTHING]
        lines.append(_line(event, said))
    return _advance(run, events, lines, clock(), refused=refused, changing=changing)


def _line(event: InboxEvent, said: list[str]) -> dict[str, object]:
    return {"event_id": event.event_id, "customer": event.stripe_customer_id, "said": said}


def _advance(
    run: ReplayRun,
    events: list[InboxEvent],
    lines: list[dict[str, object]],
    at: datetime,
    *,
    refused: int,
    changing: int = 0,
) -> bool:
    return bool(
        ReplayRun.objects.filter(pk=run.pk, state=ReplayState.RUNNING).update(
            cursor=events[-1].pk,
            handled=F("handled") + len(events),
            refused=F("refused") + refused,
            changing=F("changing") + changing,
            report=[*run.report, *lines][:MOST_REPORTED],
            lease_until=at + LEASE,
        )
    )
