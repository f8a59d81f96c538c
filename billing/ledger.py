"""What a payment has given back: counted from its refunds, never kept by hand."""

from django.db.models import Sum

from billing.models import Payment, RefundStatus
from billing.models.projections import HOLDING


def recount_refunds(payment: Payment) -> None:
    """Set what refunds hold of a payment; inside the transaction that changed a refund.

    The row lock orders this with the conditional update of a new refund (`refunds._hold`):
    whichever comes second sees the other's rows.
    """
    locked = Payment.objects.select_for_update(of=("self",), no_key=True).get(pk=payment.pk)
    held = locked.refunds.filter(status__in=HOLDING).aggregate(sum=Sum("amount_minor"))["sum"] or 0
    # Stripe may have given back by other hands what we hold for a refund it is about to refuse.
    Payment.objects.filter(pk=payment.pk).update(refunded_minor=min(held, locked.captured_minor))
    payment.refresh_from_db()


def refund_status(word: str | None) -> RefundStatus:
    """Stripe's word; one that we do not know holds the money, as a pending refund does."""
    return RefundStatus(word) if word in RefundStatus.values else RefundStatus.PENDING
