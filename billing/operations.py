"""Writes to Stripe: committed as a row, sent once, settled in a second transaction.

The caller commits an Operation together with what it is for (`want`), then runs it
(`run_operation`), or leaves that to the janitor (`settle_due`). Whatever happens in between, a
crash or a lost answer, the row remembers, and Stripe is looked at before anything is sent again.
"""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from billing import gateway
from billing.models import Operation, OperationKind, OperationState
from billing.models.operations import OPEN_STATES
from config.errors import Conflict
from keystore.correlation import current_request_id
from keystore.models import Project

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)  # longer than any one call may take
KEY_LIFETIME = timedelta(hours=23)  # Stripe may forget a key after 24 h
SAVED_5XX_WAIT = timedelta(minutes=2)  # for the failed execution to become visible or not
# Stripe takes no metadata with these: they are found again by what they change.
UNMARKED = (
    OperationKind.EXPIRE_CHECKOUT,
    OperationKind.CREATE_PORTAL,
    OperationKind.ATTACH_FEATURE,
    OperationKind.CREATE_METER,
    OperationKind.UPDATE_METER,
    OperationKind.RESUME_SUBSCRIPTION,
    OperationKind.SET_DEFAULT_CARD,
    OperationKind.DETACH_CARD,
    OperationKind.CREATE_ACCOUNT_LINK,
    OperationKind.ATTACH_CARD,
    OperationKind.VOID_INVOICE,
    OperationKind.PAY_INVOICE,
    OperationKind.GIVE_UP_INVOICE,
    OperationKind.ADD_INVOICE_LINES,
    OperationKind.SEND_INVOICE,
    OperationKind.VOID_CREDIT_NOTE,
    OperationKind.ADD_TAX_ID,
)
LONGEST_CODE = 60
FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300
LOOK_BACK = timedelta(minutes=10)  # clocks differ; Stripe's `created` has whole seconds


class OperationPending(Conflict):
    """An earlier operation on the same object has no outcome yet."""

    code = "operation_pending"
    retry_after_seconds = 10


@dataclass(frozen=True)
class Kind:
    """What one kind of operation needs beyond being sent.

    `settle(operation, object)` and `fail(operation, problem)` run in the transaction that records
    the outcome. `find(operation)` looks for the object at Stripe that an unanswered call made.
    """

    settle: Callable[[Operation, gateway.Object], None]
    fail: Callable[[Operation, str], None]
    find: Callable[[Operation], gateway.Object | None]


_kinds: dict[str, Kind] = {}


def register(kind: OperationKind, behaviour: Kind) -> None:
    _kinds[kind] = behaviour


def want(
    *,
    project: Project,
    kind: OperationKind,
    path: str,
    params: Mapping[str, Any],
    actor: str,
    at: datetime,
    subject: str = "",
    method: str = "post",
    stripe_account: str = "",
) -> Operation:
    """Write down an intent; call it in the transaction that writes what the intent is for.

    Raises OperationPending when the subject has an unfinished operation of the kind.
    """
    # Seen first, so that the insert does not wait for a settlement that may wait for our locks.
    if _is_under_way(kind, subject):
        raise _pending(kind, subject)
    try:
        with transaction.atomic():
            return Operation.objects.create(
                project=project,
                kind=kind,
                path=path,
                method=method,
                params=dict(params),
                subject=subject,
                stripe_account=stripe_account,
                actor=actor,
                request_id=current_request_id(),
                created_at=at,
                next_attempt_at=at,
            )
    except IntegrityError as twin:
        if "operation_once_per_subject" not in str(twin):
            raise
        raise _pending(kind, subject) from twin


def _is_under_way(kind: OperationKind, subject: str) -> bool:
    twins = Operation.objects.filter(kind=kind, subject=subject, state__in=OPEN_STATES)
    return bool(subject) and twins.exists()


def _pending(kind: OperationKind, subject: str) -> OperationPending:
    return OperationPending(
        f"An earlier {kind} of {subject} has no outcome yet. Wait for it, then try again."
    )


def run_operation(*, operation: Operation, at: datetime) -> gateway.Object | None:
    """Send it if nobody else is at it, and bring the row up to date.

    Returns Stripe's object if this call settled it, else None: see `operation.state`.
    Never inside a transaction: the call takes as long as Stripe takes.
    """
    gateway.refuse_inside_transaction()
    before = _claim(operation, at)
    outcome = None
    if before is not None:
        outcome = _send(operation, at, tried_before=before.attempts > 0)
    operation.refresh_from_db()
    return outcome


def settle_due(*, at: datetime, limit: int = 20) -> int:
    """The janitor: run what is due and has no live lease. Returns how many were tried."""
    due = Operation.objects.filter(_claimable(at), next_attempt_at__lte=at)
    operations = list(due.order_by("next_attempt_at")[:limit])
    for operation in operations:
        run_operation(operation=operation, at=at)
    return len(operations)


def _claimable(at: datetime) -> Q:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    return free & Q(state__in=OPEN_STATES)


def _claim(operation: Operation, at: datetime) -> Operation | None:
    """Take the lease; returns the row as it was before, or None if somebody else has it."""
    with transaction.atomic():
        rows = Operation.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
        row = rows.filter(_claimable(at), pk=operation.pk).first()
        if row is None:
            return None
        Operation.objects.filter(pk=row.pk).update(
            state=OperationState.SENT,
            lease_until=at + LEASE,
            attempts=F("attempts") + 1,
            first_sent_at=Coalesce("first_sent_at", at),
        )
    operation.refresh_from_db()
    return row


def _send(operation: Operation, at: datetime, *, tried_before: bool) -> gateway.Object | None:
    try:
        outcome = _look(operation, at) if tried_before else None
        if outcome is None:
            outcome = gateway.write(
                operation.path,
                _marked(operation),
                idempotency_key=operation.idempotency_key,
                method=operation.method,
                account=operation.stripe_account,
            )
    except gateway.StripeUnavailable as problem:
        _postpone(operation, problem.message, at, state=_state_if_unsent(tried_before))
    except gateway.OutcomeUnknown as problem:
        _postpone(operation, str(problem), at, state=OperationState.UNKNOWN, saved=problem.saved)
    except (gateway.StripeRefused, gateway.StripeMissing) as refusal:
        _fail(operation, refusal.message, at, code=str(refusal.details.get("stripe_code") or ""))
    else:
        _settle(operation, outcome, at)
        return outcome
    return None


def _look(operation: Operation, at: datetime) -> gateway.Object | None:
    """What an earlier try made at Stripe. A refused look says nothing about the try."""
    try:
        found = _kinds[operation.kind].find(operation)
    except (gateway.StripeRefused, gateway.StripeMissing) as refusal:
        raise gateway.StripeUnavailable(refusal.message) from refusal
    if found is None:
        _renew_key_if_spent(operation, at)
    return found


def _state_if_unsent(tried_before: bool) -> OperationState:
    """Not reached this time; whether an earlier try went through is still open."""
    return OperationState.UNKNOWN if tried_before else OperationState.WANTED


def _marked(operation: Operation) -> dict[str, Any]:
    """The parameters, with the mark by which the object is found again."""
    if operation.method != "post" or operation.kind in UNMARKED:
        return dict(operation.params)
    metadata = {**operation.params.get("metadata", {}), "operation_id": operation.public_id}
    return {**operation.params, "metadata": metadata}


def _renew_key_if_spent(operation: Operation, at: datetime) -> None:
    """A look at Stripe found nothing: a spent key may now be replaced by a new one."""
    first_sent = operation.first_sent_at or at
    outlived = at - first_sent >= KEY_LIFETIME
    refused_for_good = operation.answered_5xx and at - first_sent >= SAVED_5XX_WAIT
    if outlived or refused_for_good:
        Operation.objects.filter(pk=operation.pk).update(
            epoch=F("epoch") + 1, first_sent_at=at, answered_5xx=False
        )
        operation.refresh_from_db()


def _settle(operation: Operation, outcome: gateway.Object, at: datetime) -> None:
    with transaction.atomic():
        done = Operation.objects.filter(pk=operation.pk, state__in=OPEN_STATES).update(
            state=OperationState.DONE,
            stripe_object_id=outcome.get("id", ""),
            lease_until=None,
            finished_at=at,
            error="",
        )
        if done:
            operation.refresh_from_db()
            _kinds[operation.kind].settle(operation, outcome)


def _fail(operation: Operation, problem: str, at: datetime, *, code: str = "") -> None:
    with transaction.atomic():
        failed = Operation.objects.filter(pk=operation.pk, state__in=OPEN_STATES).update(
            state=OperationState.FAILED,
            lease_until=None,
            finished_at=at,
            error=problem,
            error_code=code[:LONGEST_CODE],
        )
        if failed:
            operation.refresh_from_db()
            _kinds[operation.kind].fail(operation, problem)


def _postpone(
    operation: Operation, problem: str, at: datetime, *, state: OperationState, saved: bool = False
) -> None:
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(operation.attempts, 10), LONGEST_RETRY_SECONDS)
    jitter = random.uniform(0.5, 1.0)
    Operation.objects.filter(pk=operation.pk, state__in=OPEN_STATES).update(
        state=state,
        lease_until=None,
        next_attempt_at=at + timedelta(seconds=seconds * jitter),
        error=problem,
        answered_5xx=operation.answered_5xx or saved,
    )
    logger.warning("operation.postponed", extra={"operation": operation.public_id, "why": problem})


def find_by_mark(path: str, operation: Operation, **params: Any) -> gateway.Object | None:
    """The object in a list of Stripe's that carries this operation's mark."""
    since = int((operation.created_at - LOOK_BACK).timestamp())
    for found in gateway.read_all(path, created={"gte": since}, **params):
        if (found.get("metadata") or {}).get("operation_id") == operation.public_id:
            return found
    return None
