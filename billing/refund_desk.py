"""Giving money back as staff do it: asked for, agreed to where a second person must, carried out.

A request is a row from the first click on. Whatever starts the money does it in the transaction
of the click; what follows is `billing.refund_steps`, which any crash may interrupt.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from billing import refund_blocks
from billing.models import (
    AfterRefund,
    Payment,
    RefundBudgetUse,
    RefundRequest,
    RequestState,
)
from billing.refund_budgets import give_back_budget, take_budget
from billing.refund_preview import PaidFor, paid_for
from billing.refunds import REASONS, want_refund
from config.errors import Conflict, DomainError, IdempotencyConflict, InvalidInput
from keystore import audit
from keystore.doorbell import ring

ASK = "billing.refund_payment"
AGREE = "billing.approve_refund"
SYSTEM = "system"
DEFAULT_APPROVAL_HOURS = 72
LONGEST_REASON = 1000
LONGEST_TICKET = 100
WITHDRAWN = "withdrawn by whoever asked"


class RefundNotAllowed(DomainError):
    code = "refund_not_allowed"
    status = 403


class RequestNotOpen(Conflict):
    """Somebody decided it before, or nobody did in time."""

    code = "refund_request_not_open"


class OwnRequest(Conflict):
    code = "refund_needs_second_person"


@dataclass(frozen=True)
class RefundWish:
    """What staff ask for. `key` names the click: the same one twice is one request."""

    key: str
    amount_minor: int
    reason: str
    stripe_reason: str = ""
    ticket: str = ""
    after: str = AfterRefund.KEEP
    ends_access: bool = False


def actor_of(person: User) -> str:
    return f"staff:{person.get_username()}"


@transaction.atomic
def request_refund(
    *, payment: Payment, wish: RefundWish, person: User, at: datetime
) -> RefundRequest:
    """Ask for a refund; it runs at once unless a second person must agree first.

    The same wish again returns the first request, another one under the same key is
    IdempotencyConflict. Raises RefundNotAllowed, RefundBlocked, BudgetSpent, InvalidInput; then
    nothing was changed.
    """
    _require(person, ASK)
    return _request(payment, wish, actor_of(person), person, at)


@transaction.atomic
def request_refund_for_app(
    *, payment: Payment, wish: RefundWish, app: str, at: datetime
) -> RefundRequest:
    """The same for an app that its key lets do so; the budget of the role "Apps" is taken."""
    return _request(payment, wish, app, None, at)


def _request(
    payment: Payment, wish: RefundWish, asker: str, person: User | None, at: datetime
) -> RefundRequest:
    locked = _lock(payment)
    known = RefundRequest.objects.filter(wish=wish.key).first()
    if known is not None:
        return _same(known, locked, wish, asker)
    bought = paid_for(locked)
    _refuse_odd(wish, bought)
    refund_blocks.refuse_blocked(payment=locked)
    refund_blocks.refuse_amount(payment=locked, amount_minor=wish.amount_minor)
    why = refund_blocks.approval_reason(
        payment=locked, amount_minor=wish.amount_minor, asker=asker, at=at
    )
    use = take_budget(
        person=person,
        project=locked.project,
        currency=locked.currency,
        amount_minor=wish.amount_minor,
        at=at,
    )
    request = _write(locked, wish, bought, asker, use, waits=bool(why), at=at)
    _record(request, "refund.request", asker, wish.reason, why_second_person=why)
    if not why:
        _begin(request, asker, at)
    return request


@transaction.atomic
def approve(*, request: RefundRequest, person: User, reason: str, at: datetime) -> RefundRequest:
    """Agree to another person's request: the money moves. All that was true at the request is
    asked again. Raises OwnRequest, RequestNotOpen, RefundNotAllowed, RefundBlocked.
    """
    _require(person, AGREE)
    row = _lock_request(request)
    if actor_of(person) == row.requested_by:
        raise OwnRequest("You asked for this refund: a second person has to agree.")
    _require_waiting(row, at)
    _require_asker(row)
    refund_blocks.refuse_blocked(payment=row.payment, apart_from=row)
    refund_blocks.refuse_amount(payment=row.payment, amount_minor=row.amount_minor)
    _decide(row, RequestState.RUNNING, actor_of(person), reason, at)
    _record(row, "refund.approve", actor_of(person), reason)
    _begin(row, row.requested_by, at)
    return row


@transaction.atomic
def reject(*, request: RefundRequest, person: User, reason: str, at: datetime) -> RefundRequest:
    """Refuse a request that waits, or withdraw one's own: nothing moved, the budget is free again.
    Raises RequestNotOpen, RefundNotAllowed.
    """
    row = _lock_request(request)
    own = actor_of(person) == row.requested_by
    _require(person, ASK if own else AGREE)
    if row.state != RequestState.AWAITING:
        raise _not_open(row)
    said = f"{WITHDRAWN}: {reason}" if own else reason
    _decide(row, RequestState.REJECTED, "" if own else actor_of(person), said, at)
    give_back_budget(row)
    _record(row, "refund.withdraw" if own else "refund.reject", actor_of(person), reason)
    return row


def expire_requests(*, at: datetime) -> int:
    """End requests to which nobody agreed in time. Returns how many."""
    late = RefundRequest.objects.filter(state=RequestState.AWAITING, expires_at__lte=at)
    return sum(_expire(request, at) for request in late.order_by("expires_at")[:100])


@transaction.atomic
def _expire(request: RefundRequest, at: datetime) -> bool:
    row = _lock_request(request)
    if row.state != RequestState.AWAITING:
        return False
    _decide(row, RequestState.EXPIRED, SYSTEM, "nobody agreed in time", at)
    give_back_budget(row)
    _record(row, "refund.expire", SYSTEM, "nobody agreed in time")
    return True


def _require(person: User, permission: str) -> None:
    """As the tables say now: a right taken away since the page was opened is gone."""
    fresh = User.objects.filter(pk=person.pk).first()
    if fresh is None or not fresh.has_perm(permission):
        act = "agree to refunds" if permission == AGREE else "refund payments"
        raise RefundNotAllowed(f"You may not {act}: ask somebody with the permission.")


def _require_asker(request: RefundRequest) -> None:
    if not request.requested_by.startswith("staff:"):
        return  # an app, which may ask as long as its key lets it
    name = request.requested_by.removeprefix("staff:")
    asker = User.objects.filter(username=name).first()
    if asker is None or not asker.has_perm(ASK):
        raise RefundNotAllowed(
            f"{name} may not refund any more: reject this request and ask for the refund anew."
        )


def _lock(payment: Payment) -> Payment:
    """Requests of one payment are made one after another."""
    rows = Payment.objects.select_for_update(of=("self",), no_key=True).select_related(
        "project", "consumer"
    )
    return rows.get(pk=payment.pk)


def _lock_request(request: RefundRequest) -> RefundRequest:
    """The payment first, as everywhere."""
    payment = _lock(request.payment)
    rows = RefundRequest.objects.select_for_update(of=("self",), no_key=True)
    row = rows.select_related("project", "consumer").get(pk=request.pk)
    row.payment = payment
    return row


def _same(known: RefundRequest, payment: Payment, wish: RefundWish, asker: str) -> RefundRequest:
    asked = (known.payment_id, known.requested_by, _wish_of(known))
    if asked != (payment.pk, asker, wish):
        raise IdempotencyConflict(f"This form made request {known} before. Open the page anew.")
    return known


def _wish_of(request: RefundRequest) -> RefundWish:
    return RefundWish(
        key=request.wish,
        amount_minor=request.amount_minor,
        reason=request.reason,
        stripe_reason=request.stripe_reason,
        ticket=request.ticket,
        after=request.after,
        ends_access=request.ends_access,
    )


def _refuse_odd(wish: RefundWish, bought: PaidFor) -> None:
    if not wish.reason.strip() or len(wish.reason) > LONGEST_REASON:
        raise InvalidInput(f"Say why, in up to {LONGEST_REASON} characters.")
    if len(wish.ticket) > LONGEST_TICKET:
        raise InvalidInput(f"A ticket has up to {LONGEST_TICKET} characters.")
    if wish.stripe_reason and wish.stripe_reason not in REASONS:
        raise InvalidInput(f"Stripe knows these reasons: {', '.join(sorted(REASONS))}, or none.")
    if wish.after not in AfterRefund.values:
        raise InvalidInput(f"Afterwards is one of {', '.join(AfterRefund.values)}.")
    if wish.after != AfterRefund.KEEP and bought.subscription is None:
        raise InvalidInput("This payment belongs to no subscription that could be cancelled.")
    if wish.ends_access and bought.purchase is None:
        raise InvalidInput(
            "Only what was bought once can be ended with a refund; a subscription is cancelled."
        )


def _write(
    payment: Payment,
    wish: RefundWish,
    bought: PaidFor,
    asker: str,
    use: RefundBudgetUse | None,
    *,
    waits: bool,
    at: datetime,
) -> RefundRequest:
    return RefundRequest.objects.create(
        project=payment.project,
        consumer=payment.consumer,
        payment=payment,
        amount_minor=wish.amount_minor,
        currency=payment.currency,
        reason=wish.reason,
        stripe_reason=wish.stripe_reason,
        ticket=wish.ticket,
        after=wish.after,
        ends_access=wish.ends_access,
        subscription=bought.subscription,
        wish=wish.key,
        state=RequestState.AWAITING if waits else RequestState.RUNNING,
        requested_by=asker,
        expires_at=at + _approval_time(payment) if waits else None,
        budget_use=use,
        next_attempt_at=at,
        created_at=at,
    )


def _approval_time(payment: Payment) -> timedelta:
    policy = getattr(payment.project, "billing_policy", None)
    return timedelta(hours=policy.refund_approval_hours if policy else DEFAULT_APPROVAL_HOURS)


def _begin(request: RefundRequest, actor: str, at: datetime) -> None:
    """The money is wanted and held in the transaction of the click."""
    request.refund = want_refund(
        payment=request.payment,
        amount_minor=request.amount_minor,
        reason=request.reason,
        stripe_reason=request.stripe_reason,
        actor=actor,
        at=at,
    )
    request.next_attempt_at = at
    request.save(update_fields=["refund", "next_attempt_at"])
    transaction.on_commit(partial(ring, "billing.tasks.work_requests"))


def _require_waiting(row: RefundRequest, at: datetime) -> None:
    if row.state != RequestState.AWAITING:
        raise _not_open(row)
    if row.expires_at is not None and row.expires_at <= at:
        raise RequestNotOpen(
            f"This request expired on {row.expires_at:%Y-%m-%d %H:%M} UTC. Ask for it anew."
        )


def _not_open(row: RefundRequest) -> RequestNotOpen:
    by = f" by {row.decided_by}" if row.decided_by else ""
    return RequestNotOpen(f"This request is {row.state}{by} already: nothing was changed.")


def _decide(row: RefundRequest, state: RequestState, by: str, reason: str, at: datetime) -> None:
    row.state, row.decided_by, row.decided_at, row.decision_reason = state, by, at, reason
    names = ["state", "decided_by", "decided_at", "decision_reason"]
    if state != RequestState.RUNNING:
        row.finished_at = at
        names.append("finished_at")
    row.save(update_fields=names)


def _record(request: RefundRequest, act: str, actor: str, reason: str, **more: object) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=request,
        project=request.project,
        consumer=request.consumer,
        after={
            "state": request.state,
            "payment": request.payment.stripe_charge_id,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "after": request.after,
            "ends_access": request.ends_access,
            "ticket": request.ticket,
            **more,
        },
        reason=reason,
    )
