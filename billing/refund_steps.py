"""From an agreed request to its last effect: money, subscription, access, done.

Each step is a row's state, so whoever comes next goes on where a crash ended: the refund's
operation, the cancellation's operation, the purchase whose access ended, the sync. A step that
was done is found done, never done again.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from billing import access, gateway, subscriptions
from billing.models import (
    AfterRefund,
    Operation,
    OperationState,
    Purchase,
    PurchaseState,
    RefundRequest,
    RequestState,
    StripeCustomer,
)
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation
from billing.refund_desk import expire_requests
from billing.refund_outcome import CAME_TO_NOTHING, fail_request
from billing.refund_preview import paid_for
from billing.sync import NotOurs, SyncReport, sync_customer
from config.errors import DomainError
from keystore import audit

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 300
BUDGET_SECONDS = 25.0
SYSTEM = "system"
Clock = Callable[[], datetime]


class _NotYet(Exception):
    """A step has no outcome yet; the request waits for it."""


def follow_request(*, request: RefundRequest, clock: Clock) -> RefundRequest:
    """Do what is left of a running request, as far as Stripe lets us; safe at any time, by many.

    Returns the request as it is then. Never inside a transaction.
    """
    gateway.refuse_inside_transaction()
    if _claim(request, clock()):
        try:
            _walk(_reload(request), clock)
        except _NotYet as wait:
            _postpone(request, str(wait), clock())
        except DomainError as wait:
            _postpone(request, wait.message, clock())
        except Exception as problem:
            # Whatever it is, other requests must go on, and whoever asked must see it.
            logger.exception("refund.broke", extra={"refund_request": request.public_id})
            _postpone(request, f"It could not go on: {problem!r}", clock())
    return _reload(request)


def work_requests(*, clock: Clock, limit: int = 200, seconds: float = BUDGET_SECONDS) -> int:
    """The sweeper: expire what nobody agreed to, go on with what is due. Returns how many.

    Begins no new one after `seconds`: a task must end before the queue thinks it lost.
    """
    stop_at = time.monotonic() + seconds
    worked = expire_requests(at=clock())
    due = RefundRequest.objects.filter(_claimable(clock()), next_attempt_at__lte=clock())
    for request in list(due.order_by("next_attempt_at")[:limit]):
        if time.monotonic() > stop_at:
            break
        follow_request(request=request, clock=clock)
        worked += 1
    return worked


def _claimable(at: datetime) -> Q:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    return free & Q(state=RequestState.RUNNING)


def _claim(request: RefundRequest, at: datetime) -> bool:
    return bool(
        RefundRequest.objects.filter(_claimable(at), pk=request.pk).update(
            lease_until=at + LEASE, attempts=F("attempts") + 1, problem=""
        )
    )


def _reload(request: RefundRequest) -> RefundRequest:
    rows = RefundRequest.objects.select_related(
        "project", "consumer", "payment__project", "refund__operation", "cancel_operation"
    )
    return rows.select_related("subscription__project").get(pk=request.pk)


def _walk(request: RefundRequest, clock: Clock) -> None:
    if not _money_moved(request, clock):
        return
    _change_subscription(request, clock)
    _end_access(request, clock())
    _finish(request, clock)


def _money_moved(request: RefundRequest, clock: Clock) -> bool:
    refund = request.refund
    assert refund is not None
    assert refund.operation is not None
    operation = _run(refund.operation, clock)
    refund.refresh_from_db(fields=["status"])
    if operation.state == OperationState.FAILED:
        _fail(request, operation.error, clock())
        return False
    if refund.status in CAME_TO_NOTHING:
        _fail(request, f"The refund {refund.status} at Stripe.", clock())
        return False
    return True


def _run(operation: Operation, clock: Clock) -> Operation:
    """Bring a call to Stripe to its end, or wait: the janitor tries it, too."""
    if operation.state in OPEN_STATES:
        run_operation(operation=operation, at=clock())
        operation.refresh_from_db()
    if operation.state in OPEN_STATES:
        raise _NotYet(operation.error or "Stripe has not answered yet.")
    return operation


def _change_subscription(request: RefundRequest, clock: Clock) -> None:
    if request.after == AfterRefund.KEEP or request.subscription is None:
        return
    if request.cancel_operation is None and not _want_change(request, clock()):
        return
    assert request.cancel_operation is not None
    operation = _run(request.cancel_operation, clock)
    if operation.state == OperationState.FAILED:
        said = f"The money went back, but the subscription stays as it is: {operation.error}"
        RefundRequest.objects.filter(pk=request.pk).update(problem=said)


@transaction.atomic
def _want_change(request: RefundRequest, at: datetime) -> bool:
    """False when the subscription has ended by itself meanwhile."""
    subscription = request.subscription
    assert subscription is not None
    if subscription.status in access.ENDED:
        return False
    actor = request.requested_by
    if request.after == AfterRefund.CANCEL_NOW:
        operation = subscriptions.want_cancel(subscription=subscription, actor=actor, at=at)
    else:
        operation = subscriptions.want_cancel_at_period_end(
            subscription=subscription, actor=actor, at=at
        )
    request.cancel_operation = operation
    request.save(update_fields=["cancel_operation"])
    return True


@transaction.atomic
def _end_access(request: RefundRequest, at: datetime) -> None:
    """The purchase remembers it, so that no later sync opens it again."""
    purchase = paid_for(request.payment).purchase
    if not request.ends_access or purchase is None or request.access_ended_at is not None:
        return
    Purchase.objects.filter(pk=purchase.pk, access_ended_at=None).update(access_ended_at=at)
    RefundRequest.objects.filter(pk=request.pk).update(access_ended_at=at)


def _finish(request: RefundRequest, clock: Clock) -> None:
    """One sync brings grants and keys to what is paid now; the request ends with it."""
    assert request.refund is not None
    holder = StripeCustomer.objects.get(consumer=request.consumer_id)
    touched = [("charge", request.payment.stripe_charge_id)]
    if request.refund.stripe_refund_id:
        touched.append(("refund", request.refund.stripe_refund_id))
    if request.subscription is not None:
        touched.append(("subscription", request.subscription.stripe_subscription_id))
    try:
        sync_customer(
            stripe_customer_id=holder.stripe_customer_id,
            clock=clock,
            touched=touched,
            also=lambda report: _done(request, clock(), report),
        )
    except NotOurs as why:
        with transaction.atomic():
            _done(request, clock(), None, problem=f"Access was not looked at: {why}.")


def _done(
    request: RefundRequest, at: datetime, report: SyncReport | None, problem: str = ""
) -> None:
    changes: dict[str, object] = {"problem": problem} if problem else {}
    if report is not None:
        changes["synced_at"] = at
    ended = RefundRequest.objects.filter(pk=request.pk, state=RequestState.RUNNING).update(
        state=RequestState.DONE, lease_until=None, finished_at=at, **changes
    )
    if not ended:
        return
    if _has_closed(request):
        RefundRequest.objects.filter(pk=request.pk, access_ended_at=None).update(access_ended_at=at)
    audit.record(
        actor=SYSTEM,
        act="refund.done",
        target=request,
        project=request.project,
        consumer=request.consumer,
        after={"state": RequestState.DONE, "changed": report.changed_grants if report else []},
    )


def _has_closed(request: RefundRequest) -> bool:
    purchase = paid_for(request.payment).purchase
    if purchase is not None:
        return purchase.state == PurchaseState.REFUNDED
    return request.after == AfterRefund.CANCEL_NOW


@transaction.atomic
def _fail(request: RefundRequest, problem: str, at: datetime) -> None:
    fail_request(request=request, problem=problem, at=at)


def _postpone(request: RefundRequest, problem: str, at: datetime) -> None:
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(request.attempts, 10), LONGEST_RETRY_SECONDS)
    RefundRequest.objects.filter(pk=request.pk, state=RequestState.RUNNING).update(
        lease_until=None,
        next_attempt_at=at + timedelta(seconds=seconds * random.uniform(0.5, 1.0)),
        problem=problem,
    )
    logger.warning("refund.postponed", extra={"refund_request": request.public_id, "why": problem})
