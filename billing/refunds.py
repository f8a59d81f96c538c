"""Giving money back: once per wish, never more than was taken."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from billing.credits import given_otherwise_minor
from billing.gateway import Object
from billing.ledger import recount_refunds, refund_status
from billing.models import (
    Operation,
    OperationKind,
    OperationState,
    Payment,
    Refund,
    RefundStatus,
)
from billing.operations import run_operation, want
from billing.refund_outcome import follow_outcome
from config.errors import Conflict, InvalidInput
from keystore import audit

REASONS = {"duplicate", "fraudulent", "requested_by_customer"}  # Stripe's words


class RefundTooLarge(Conflict):
    code = "refund_exceeds_payment"


class NotRefundable(Conflict):
    code = "payment_not_refundable"


def refund_payment(
    *, payment: Payment, amount_minor: int, reason: str, actor: str, at: datetime
) -> Refund:
    """Give back a part or all of a payment and return the refund as Stripe left it.

    One refund of a payment at a time: while an earlier one has no outcome, OperationPending.
    Raises RefundTooLarge, NotRefundable, InvalidInput; then nothing was changed.
    """
    refund = want_refund(
        payment=payment, amount_minor=amount_minor, reason=reason, actor=actor, at=at
    )
    assert refund.operation is not None
    run_operation(operation=refund.operation, at=at)
    refund.refresh_from_db()
    return refund


@transaction.atomic
def want_refund(
    *,
    payment: Payment,
    amount_minor: int,
    reason: str,
    actor: str,
    at: datetime,
    stripe_reason: str = "",
) -> Refund:
    """Write a refund down and hold its amount; its operation is run after the commit.

    `stripe_reason`: one of REASONS; without it the reason is sent if it is one of these words.
    """
    if amount_minor <= 0:
        raise InvalidInput("A refund must be for more than nothing.")
    if payment.status != "succeeded":
        raise NotRefundable(f"This payment is {payment.status}: there is nothing to give back.")
    _hold(payment, amount_minor)
    operation = want(
        project=payment.project,
        kind=OperationKind.REFUND,
        path="/v1/refunds",
        params=_params(payment, amount_minor, stripe_reason or reason),
        subject=payment.stripe_charge_id,
        actor=actor,
        at=at,
    )
    refund = Refund.objects.create(
        project=payment.project,
        payment=payment,
        operation=operation,
        status=RefundStatus.WANTED,
        amount_minor=amount_minor,
        currency=payment.currency,
        reason=reason,
        created_at=at,
    )
    _record(refund, actor)
    return refund


def _record(refund: Refund, actor: str) -> None:
    payment = refund.payment
    audit.record(
        actor=actor,
        act="refund.want",
        target=refund,
        project=payment.project,
        consumer=payment.consumer,
        after={"amount_minor": refund.amount_minor, "currency": refund.currency},
        reason=refund.reason,
    )


def _hold(payment: Payment, amount_minor: int) -> None:
    """Take the amount from what is left, in one statement that cannot take too much.

    The lock is also what credit notes of its invoice take first.
    """
    locked = Payment.objects.select_for_update(of=("self",), no_key=True).get(pk=payment.pk)
    otherwise = given_otherwise_minor(locked)
    held = Payment.objects.filter(
        pk=payment.pk, captured_minor__gte=F("refunded_minor") + amount_minor + otherwise
    ).update(refunded_minor=F("refunded_minor") + amount_minor)
    if not held:
        payment.refresh_from_db()
        left = max(payment.captured_minor - payment.refunded_minor - otherwise, 0)
        raise RefundTooLarge(
            f"Only {left} {payment.currency} (in its smallest unit) is left to give back."
        )


def _params(payment: Payment, amount_minor: int, reason: str) -> dict[str, object]:
    params: dict[str, object] = {"charge": payment.stripe_charge_id, "amount": amount_minor}
    if reason in REASONS:
        params["reason"] = reason
    return params


def settle_refund(operation: Operation, found: Object) -> None:
    """Stripe made it. A sync that saw it before us knows its status better than this answer."""
    refund = _refund_of(operation)
    confirmed = Refund.objects.filter(pk=refund.pk, stripe_refund_id="").update(
        stripe_refund_id=found["id"], status=refund_status(found["status"])
    )
    recount_refunds(refund.payment)
    if confirmed:
        refund.refresh_from_db(fields=["stripe_refund_id", "status"])
        follow_outcome(refund=refund, was="", at=operation.finished_at or refund.created_at)


def fail_refund(operation: Operation, problem: str) -> None:
    """Stripe refused it: nothing moved, and the amount is free again."""
    refund = _refund_of(operation)
    Refund.objects.filter(pk=refund.pk, stripe_refund_id="").update(status=RefundStatus.FAILED)
    recount_refunds(refund.payment)


def _refund_of(operation: Operation) -> Refund:
    """The refund, its payment locked: a sync, too, takes the payment before its refunds."""
    refund = Refund.objects.get(operation=operation)
    refund.payment = Payment.objects.select_for_update(of=("self",), no_key=True).get(
        pk=refund.payment_id
    )
    return refund


def is_open(refund: Refund) -> bool:
    """Whether Stripe's answer is still missing."""
    return refund.operation is not None and refund.operation.state not in (
        OperationState.DONE,
        OperationState.FAILED,
    )
