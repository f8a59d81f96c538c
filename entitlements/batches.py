"""Grants for many at once: read and checked as a whole, then given line by line by the worker.

A batch is a row with a lease: whoever is killed in the middle leaves lines that the next one gives.
Each line is one transaction with its own idempotency key, so none is given twice.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import OperationalError, transaction
from django.db.models import Count, Q

from config.errors import Conflict, DomainError
from entitlements.batch_file import AskedLine
from entitlements.batch_wishes import BadLine, Catalogue, Directory, Wish, check_wish, wish_of
from entitlements.models import BatchState, GrantBatch, GrantBatchLine, LineState
from entitlements.services import give_grant
from keystore import audit
from keystore.doorbell import ring
from keystore.models import Project

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
BUDGET_SECONDS = 25.0
LINES_PER_LEASE = 50
GIVE_TASK = "entitlements.tasks.give_batches"
Clock = Callable[[], datetime]


class BatchNotReady(Conflict):
    code = "batch_not_ready"


@dataclass(frozen=True, slots=True)
class Progress:
    """How many lines of a batch are in each state."""

    ready: int
    bad: int
    done: int
    failed: int

    @property
    def total(self) -> int:
        return self.ready + self.bad + self.done + self.failed

    @property
    def worked(self) -> int:
        return self.done + self.failed

    @property
    def wanted(self) -> int:
        return self.ready + self.worked


def read_batch(
    *,
    project: Project,
    lines: Sequence[AskedLine],
    reason: str,
    ticket: str,
    actor: str,
    may_be_endless: bool,
    with_email: bool,
    at: datetime,
) -> GrantBatch:
    """Keep the lines as a preview, each ready or bad with why. Nothing is given."""
    names = [line.cells.get("consumer", "") for line in lines]
    directory = Directory.of(project, names, with_email=with_email)
    rows = list(_checked(lines, directory, Catalogue.of(project), may_be_endless, at))
    with transaction.atomic():
        batch = GrantBatch.objects.create(
            project=project, reason=reason, ticket=ticket, started_by=actor, created_at=at
        )
        for row in rows:
            row.batch = batch
        GrantBatchLine.objects.bulk_create(rows, batch_size=1000)
        _record(batch, "grant_batch.read", actor)
    return batch


@transaction.atomic
def start_batch(
    *, batch: GrantBatch, good_ones_only: bool, may_be_endless: bool, actor: str, at: datetime
) -> None:
    """Let the worker give the lines that are ready, as `actor`; also goes on after a stop.

    Raises BatchNotReady while there are bad lines, unless only the good ones are wanted.
    """
    state = _locked(batch).state
    if state not in (BatchState.PREVIEW, BatchState.STOPPED):
        raise BatchNotReady(f"This batch is {state}: look at it again.")
    progress = progress_of(batch=batch)
    if progress.bad and not good_ones_only:
        raise BatchNotReady(
            f"{progress.bad:,} lines are bad: mend the file, or tick to give only the good ones."
        )
    if not progress.ready:
        raise BatchNotReady("There is no line to give.")
    endless = batch.lines.filter(state=LineState.READY, asked__ends="")
    if not may_be_endless and endless.exists():
        raise BatchNotReady("Some lines have no end, and you may not give grants without one.")
    GrantBatch.objects.filter(pk=batch.pk).update(
        state=BatchState.RUNNING, started_by=actor, lease_until=None
    )
    _record(batch, "grant_batch.start", actor)
    transaction.on_commit(partial(ring, GIVE_TASK))


@transaction.atomic
def stop_batch(*, batch: GrantBatch, actor: str, at: datetime) -> bool:
    """Give no further line. What was given stays. False if it was not running."""
    running = GrantBatch.objects.filter(pk=batch.pk, state=BatchState.RUNNING)
    if not running.update(state=BatchState.STOPPED, lease_until=None):
        return False
    _record(batch, "grant_batch.stop", actor)
    return True


@transaction.atomic
def discard_batch(*, batch: GrantBatch, actor: str, at: datetime) -> bool:
    """Put a preview aside. False if it is none."""
    previews = GrantBatch.objects.filter(pk=batch.pk, state=BatchState.PREVIEW)
    if not previews.update(state=BatchState.DISCARDED, finished_at=at):
        return False
    _record(batch, "grant_batch.discard", actor)
    return True


def progress_of(*, batch: GrantBatch) -> Progress:
    counts = batch.lines.aggregate(
        **{state: Count("pk", filter=Q(state=state)) for state in LineState.values}
    )
    return Progress(**counts)


def give_due(*, clock: Clock, seconds: float = BUDGET_SECONDS) -> int:
    """Work off running batches; returns how many lines reached an end.

    Begins no new line after `seconds`: a task must end before the queue thinks it lost.
    """
    stop_at, worked = time.monotonic() + seconds, 0
    while time.monotonic() < stop_at:
        batch = _claim(clock())
        if batch is None:
            return worked
        worked += _work(batch, clock, stop_at)
    return worked


def _checked(
    lines: Iterable[AskedLine],
    directory: Directory,
    catalogue: Catalogue,
    may_be_endless: bool,
    at: datetime,
) -> Iterable[GrantBatchLine]:
    first_of: dict[tuple[int, str], int] = {}
    for line in lines:
        row = GrantBatchLine(number=line.number, asked=line.cells, state=LineState.READY)
        try:
            if line.problem:
                raise BadLine(line.problem)
            row.consumer = directory.find(line.cells.get("consumer", ""))
            wish = wish_of(line.cells, catalogue)
            check_wish(line, row.consumer, wish, may_be_endless=may_be_endless, at=at)
            same = (row.consumer.pk, _thing(wish))
            first = first_of.setdefault(same, line.number)
            if first != line.number:
                raise BadLine(f"Line {first} gives this consumer the same.")
        except BadLine as why:
            row.state, row.problem = LineState.BAD, str(why)
        yield row


def _thing(wish: Wish) -> str:
    return (
        f"plan:{wish.plan.pk}" if wish.plan else f"feature:{wish.feature.pk if wish.feature else 0}"
    )


def _locked(batch: GrantBatch) -> GrantBatch:
    return GrantBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=batch.pk)


def _record(batch: GrantBatch, act: str, actor: str) -> None:
    progress = progress_of(batch=batch)
    after = {state: getattr(progress, state) for state in LineState.values}
    audit.record(
        actor=actor,
        act=act,
        target=batch,
        after={**after, "ticket": batch.ticket},
        reason=batch.reason,
    )


def _claim(at: datetime) -> GrantBatch | None:
    """Take the lease on the oldest running batch that nobody works on."""
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    with transaction.atomic():
        waiting = GrantBatch.objects.filter(free, state=BatchState.RUNNING).order_by("pk")
        batch = waiting.select_for_update(of=("self",), skip_locked=True, no_key=True).first()
        if batch is None:
            return None
        batch.lease_until = at + LEASE
        batch.save(update_fields=["lease_until"])
    return batch


def _work(batch: GrantBatch, clock: Clock, stop_at: float) -> int:
    """Give line after line until none is left, the batch is stopped, or the time is over."""
    catalogue, worked = Catalogue.of(batch.project), 0
    ready = batch.lines.filter(state=LineState.READY).order_by("number")
    numbers = list(ready.values_list("pk", flat=True))
    for place, pk in enumerate(numbers):
        if time.monotonic() >= stop_at:
            _let_go(batch)
            return worked
        if place % LINES_PER_LEASE == 0 and not _hold(batch, clock()):
            return worked
        worked += _give(pk, batch, catalogue, clock())
    _finish(batch, clock())
    return worked


def _hold(batch: GrantBatch, at: datetime) -> bool:
    """Keep the lease; False when the batch was stopped."""
    running = GrantBatch.objects.filter(pk=batch.pk, state=BatchState.RUNNING)
    return bool(running.update(lease_until=at + LEASE))


def _let_go(batch: GrantBatch) -> None:
    """Whoever rings next goes on."""
    GrantBatch.objects.filter(pk=batch.pk).update(lease_until=None)
    ring(GIVE_TASK)


def _give(pk: int, batch: GrantBatch, catalogue: Catalogue, at: datetime) -> int:
    """Give one line; 0 when it is done, stopped, or must wait for the next round."""
    try:
        return _give_line(pk, batch, catalogue, at)
    except (DomainError, BadLine) as refusal:
        why = refusal.message if isinstance(refusal, DomainError) else str(refusal)
    except OperationalError:
        # A row that somebody holds, or the database on its way down: the next round tries again.
        logger.warning("grant_batch.line_waits", extra={"line": pk}, exc_info=True)
        return 0
    except Exception as problem:
        # Whatever it is, the other lines must go on, and this one must be shown.
        logger.exception("grant_batch.line_failed", extra={"line": pk})
        why = f"It could not be given: {problem!r}"
    ready = GrantBatchLine.objects.filter(pk=pk, state=LineState.READY)
    return ready.update(state=LineState.FAILED, problem=why)


@transaction.atomic
def _give_line(pk: int, batch: GrantBatch, catalogue: Catalogue, at: datetime) -> int:
    lines = GrantBatchLine.objects.select_for_update(of=("self",), no_key=True).filter(
        pk=pk, state=LineState.READY, batch__state=BatchState.RUNNING
    )
    line = lines.select_related("consumer__project").first()
    if line is None or line.consumer is None:
        return 0
    wish = wish_of(line.asked, catalogue)
    line.grant = give_grant(
        consumer=line.consumer,
        plan=wish.plan,
        feature=wish.feature,
        limit=wish.limit,
        config=wish.config,
        valid_from=None,
        valid_to=wish.valid_to,
        reason=line.asked.get("reason") or batch.reason,
        ticket=batch.ticket,
        granted_by=batch.started_by,
        idempotency_key=f"{batch.public_id}:{line.number}",
        actor=batch.started_by,
        at=at,
    )
    line.state = LineState.DONE
    line.save(update_fields=["grant", "state"])
    return 1


@transaction.atomic
def _finish(batch: GrantBatch, at: datetime) -> None:
    """Close the batch, unless lines wait for the next round or it was stopped."""
    if batch.lines.filter(state=LineState.READY).exists():
        return
    running = GrantBatch.objects.filter(pk=batch.pk, state=BatchState.RUNNING)
    if running.update(state=BatchState.DONE, lease_until=None, finished_at=at):
        _record(batch, "grant_batch.finish", batch.started_by)
