"""Repairs as durable work: one customer at a time, under the customer's lock, checked before and
after. The repair is the same `sync_customer` that every event leads to.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Q, QuerySet

from billing import gateway
from billing.locks import customer_lock
from billing.models import Drift, DriftState, ReconciliationRun, Subscription
from billing.reconciliation.answers import stale_after
from billing.reconciliation.kinds import DriftKind
from billing.reconciliation.lost import end_lost_subscription
from billing.reconciliation.pace import Pace
from billing.reconciliation.recheck import Key, differences_of
from billing.reconciliation.runs import TASK
from billing.sync import NotOurs, sync_customer
from config.errors import DomainError, InvalidInput, Unavailable
from entitlements.services import refresh_answer
from keystore import audit
from keystore.doorbell import ring

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
WAIT_IN_TROUBLE = timedelta(seconds=20)
LONGEST_TROUBLE = timedelta(hours=1)
READS_OF_A_SYNC = 8  # about so many requests, which are sent outside the pace
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Outcome:
    state: DriftState
    note: str


@transaction.atomic
def want_repairs(*, drifts: QuerySet[Drift], actor: str, reason: str, at: datetime) -> int:
    """Put differences in line to be repaired; how many of them were open and not in line."""
    if not reason.strip():
        raise InvalidInput("Say why this is repaired: the audit trail keeps it.")
    wanted = drifts.filter(state=DriftState.OPEN, repair_wanted_at=None)
    number = wanted.update(
        repair_wanted_at=at, repair_wanted_by=actor, repair_reason=reason, lease_until=None
    )
    if number:
        transaction.on_commit(partial(ring, TASK))
    return number


def work_repairs(*, clock: Clock, pace: Pace, stop_at: float) -> int:
    """Repair what is in line; how many differences reached an end."""
    done = 0
    while time.monotonic() < stop_at:
        claimed = _claim(clock())
        if not claimed:
            break
        done += _repair(claimed, clock, pace)
    return done


@transaction.atomic
def _claim(at: datetime) -> list[Drift]:
    """The difference that waits longest, and all others of its customer that are in line."""
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    line = Drift.objects.filter(state=DriftState.OPEN, repair_wanted_at__isnull=False)
    first = (
        line.filter(free)
        .order_by("repair_wanted_at", "pk")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)
        .first()
    )
    if first is None:
        return []
    same = Q(pk=first.pk)
    if first.consumer_id is not None:
        same |= Q(consumer=first.consumer_id, stripe_customer_id=first.stripe_customer_id)
    found = line.filter(same).select_for_update(of=("self",), skip_locked=True, no_key=True)
    claimed = list(found.order_by("pk").values_list("pk", flat=True))
    Drift.objects.filter(pk__in=claimed).update(lease_until=at + LEASE)
    return list(Drift.objects.select_related("consumer__project", "run").filter(pk__in=claimed))


def _repair(claimed: Sequence[Drift], clock: Clock, pace: Pace) -> int:
    try:
        outcomes = _outcomes(claimed, clock, pace)
    except Unavailable as problem:
        return _wait(claimed, problem.message, clock())
    except (gateway.StripeMissing, NotOurs) as problem:
        said = problem.message if isinstance(problem, DomainError) else str(problem)
        outcomes = _all(claimed, DriftState.FAILED, f"{said} Nothing was changed.")
    except DomainError as problem:
        outcomes = _all(claimed, DriftState.FAILED, problem.message)
    except Exception as problem:
        # Whatever it is, the other repairs must go on, and somebody must see it.
        logger.exception("reconciliation.repair_failed")
        outcomes = _all(claimed, DriftState.FAILED, repr(problem))
    return _settle(claimed, outcomes, clock())


def _all(claimed: Iterable[Drift], state: DriftState, note: str) -> dict[int, Outcome]:
    return {drift.pk: Outcome(state, note) for drift in claimed}


def _outcomes(claimed: Sequence[Drift], clock: Clock, pace: Pace) -> dict[int, Outcome]:
    """Look, mend, look again. Raises what a sync raises."""
    customer_id = claimed[0].stripe_customer_id
    if not customer_id:
        return {drift.pk: _refresh(drift, clock) for drift in claimed}
    with customer_lock(customer_id):
        before = differences_of(stripe_customer_id=customer_id, pace=pace, clock=clock)
        left = [drift for drift in claimed if _key(drift) in before]
        note = "A fresh look before the repair found no difference."
        outcomes = {drift.pk: Outcome(DriftState.GONE, note) for drift in claimed}
        if not left:
            return outcomes
        said = _mend(left, customer_id, clock, pace)
        after = differences_of(stripe_customer_id=customer_id, pace=pace, clock=clock)
    return outcomes | {drift.pk: _outcome(drift, after, said) for drift in left}


def _key(drift: Drift) -> Key:
    return drift.kind, drift.object_id, drift.field


def _mend(left: Sequence[Drift], customer_id: str, clock: Clock, pace: Pace) -> str:
    """Sync the customer, and do what a sync does not; what there is to say about it."""
    for _ in range(READS_OF_A_SYNC):
        pace.wait()
    report = sync_customer(stripe_customer_id=customer_id, clock=clock, full=True)
    for drift in left:
        if drift.kind == DriftKind.SUBSCRIPTION_NOT_AT_STRIPE and drift.object_id in report.gone:
            subscription = Subscription.objects.select_related("consumer__project", "price__plan")
            end_lost_subscription(
                subscription=subscription.get(stripe_subscription_id=drift.object_id),
                actor=drift.repair_wanted_by,
                at=clock(),
            )
    if any(drift.kind == DriftKind.ANSWER_STALE for drift in left):
        refresh_answer(consumer=report.consumer, at=clock())
    return report.summary()


def _outcome(drift: Drift, after: Mapping[Key, object], said: str) -> Outcome:
    if _key(drift) not in after:
        return Outcome(DriftState.REPAIRED, said)
    return Outcome(DriftState.FAILED, f"The repair went through and it differs still ({said}).")


def _refresh(drift: Drift, clock: Clock) -> Outcome:
    """A consumer without a Stripe customer: only the answer can be wrong."""
    consumer = drift.consumer
    if drift.kind != DriftKind.ANSWER_STALE or consumer is None:
        return Outcome(DriftState.FAILED, "There is no Stripe customer that could be synced.")
    if not stale_after(pk=0, at=clock(), consumer_id=consumer.pk)[0]:
        return Outcome(DriftState.GONE, "A fresh look before the repair found no difference.")
    refresh_answer(consumer=consumer, at=clock())
    if stale_after(pk=0, at=clock(), consumer_id=consumer.pk)[0]:
        return Outcome(DriftState.FAILED, "The answer was made anew and differs still.")
    return Outcome(DriftState.REPAIRED, "The answer was made anew.")


@transaction.atomic
def _settle(claimed: Sequence[Drift], outcomes: dict[int, Outcome], at: datetime) -> int:
    """Write down what became of each, with who wanted it and why."""
    settled = 0
    for drift in claimed:
        outcome = outcomes[drift.pk]
        changed = Drift.objects.filter(pk=drift.pk, state=DriftState.OPEN).update(
            state=outcome.state,
            note=outcome.note,
            settled_by=drift.repair_wanted_by,
            settled_at=at,
            lease_until=None,
        )
        if not changed:
            continue
        settled += 1
        if outcome.state == DriftState.REPAIRED:
            ReconciliationRun.objects.filter(pk=drift.run_id).update(repaired=F("repaired") + 1)
        audit.record(
            actor=drift.repair_wanted_by,
            act="drift.repair",
            target=drift,
            consumer=drift.consumer,
            before={"field": drift.field, "ours": drift.ours, "stripes": drift.stripes},
            after={"state": outcome.state, "note": outcome.note},
            reason=drift.repair_reason,
        )
    return settled


def _wait(claimed: Sequence[Drift], why: str, at: datetime) -> int:
    """Stripe or the customer is busy: try again later, and give up after an hour."""
    wanted_at = min(drift.repair_wanted_at or at for drift in claimed)
    if at - wanted_at >= LONGEST_TROUBLE:
        return _settle(claimed, _all(claimed, DriftState.FAILED, f"Given up: {why}"), at)
    Drift.objects.filter(pk__in=[drift.pk for drift in claimed]).update(
        lease_until=at + WAIT_IN_TROUBLE, note=f"Waits: {why}"
    )
    return 0
