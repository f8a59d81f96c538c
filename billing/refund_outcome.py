"""What follows when Stripe tells how a refund stands: who is told, and what is put back."""

from datetime import datetime

from billing.models import Purchase, Refund, RefundRequest, RefundStatus, RequestState
from billing.refund_budgets import give_back_budget
from keystore import audit
from keystore.outbox import tell

CAME_TO_NOTHING = (RefundStatus.FAILED, RefundStatus.CANCELED)
ACTOR = "stripe"


def follow_outcome(*, refund: Refund, was: str, at: datetime) -> None:
    """Inside the transaction that wrote the refund's status. `was`: its status before, "" when
    Stripe had not made it yet. Does nothing when nothing changed.
    """
    if refund.status == was:
        return
    if not was:
        _tell(refund, "refund.created", at)
    if refund.status in CAME_TO_NOTHING:
        _tell(refund, "refund.failed", at)
        _put_back(refund, at)
    elif was:
        _tell(refund, "refund.updated", at)


def fail_request(*, request: RefundRequest, problem: str, at: datetime) -> bool:
    """End a request whose money did not arrive: what it took and ended is put back. A canceled
    subscription stays canceled. False when it had ended so before.
    """
    failed = RefundRequest.objects.filter(
        pk=request.pk, state__in=(RequestState.RUNNING, RequestState.DONE)
    ).update(state=RequestState.FAILED, problem=problem, lease_until=None, finished_at=at)
    if not failed:
        return False
    request.refresh_from_db()
    give_back_budget(request)
    _reopen(request)
    audit.record(
        actor=ACTOR,
        act="refund.fail",
        target=request,
        project=request.project,
        consumer=request.consumer,
        after={"state": request.state, "problem": problem},
    )
    return True


def _put_back(refund: Refund, at: datetime) -> None:
    request = RefundRequest.objects.select_related("project", "consumer").filter(refund=refund)
    for one in request:
        said = f"The refund {refund.status}: the money did not reach the buyer."
        if one.cancel_operation_id is not None:
            said += " The subscription was changed all the same."
        fail_request(request=one, problem=said, at=at)


def _reopen(request: RefundRequest) -> None:
    """Access that ended with this request alone; the sync that brought the news gives it back."""
    if request.ends_access and request.access_ended_at is not None:
        Purchase.objects.filter(
            consumer=request.consumer_id,
            stripe_payment_intent_id=request.payment.stripe_payment_intent_id,
            access_ended_at=request.access_ended_at,
        ).update(access_ended_at=None)


def _tell(refund: Refund, kind: str, at: datetime) -> None:
    payment = refund.payment
    tell(
        project=refund.project,
        kind=kind,
        consumer=payment.consumer,
        at=at,
        data={
            "id": refund.public_id,
            "status": refund.status,
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
            "user_id": payment.consumer.external_id,
            "payment_id": payment.public_id,
            "stripe_refund_id": refund.stripe_refund_id,
            "stripe_charge_id": payment.stripe_charge_id,
            "stripe_payment_intent_id": payment.stripe_payment_intent_id,
            "stripe_invoice_id": payment.stripe_invoice_id,
        },
    )
