"""Money that a buyer's bank takes back, and what it means for access.

While the bank decides nothing changes here: the buyer may be right, and a purchase that is closed
at a mistake is hard to make good. A lost dispute ends access as a full refund does; a won one, or
one that the bank reopens and then decides for us, leaves or gives it back.
"""

from datetime import datetime

from django.db.models import Sum

from billing.gateway import Object
from billing.models import Dispute, Invoice, Payment, Purchase, PurchaseState, StripeCustomer
from billing.shapes import SubscriptionFacts, instant, ref

LOST = "lost"


def project_dispute(*, found: Object, holder: StripeCustomer, at: datetime) -> Dispute | None:
    """The dispute in our columns; None while its payment is not known here."""
    payment = Payment.objects.filter(
        stripe_charge_id=ref(found["charge"]), consumer=holder.consumer_id
    ).first()
    if payment is None:
        return None
    row, _ = Dispute.objects.update_or_create(
        stripe_dispute_id=found["id"],
        defaults={
            "project_id": payment.project_id,
            "consumer_id": payment.consumer_id,
            "payment": payment,
            "status": found["status"],
            "reason": found["reason"] or "",
            "amount_minor": found["amount"],
            "currency": found["currency"],
            "evidence_due_at": instant((found.get("evidence_details") or {}).get("due_by")),
            "created_at": instant(found["created"]),
            "synced_at": at,
        },
    )
    return row


def gives_access(purchase: Purchase, state: PurchaseState) -> bool:
    """Whether a purchase still opens its plan: not given back, not ended by staff, not lost."""
    if state == PurchaseState.REFUNDED or purchase.access_ended_at is not None:
        return False
    intent = purchase.stripe_payment_intent_id
    payments = Payment.objects.filter(stripe_payment_intent_id=intent, project=purchase.project_id)
    return not intent or not any(_is_lost(payment) for payment in payments)


def period_is_lost(facts: SubscriptionFacts) -> bool:
    """Whether the money of the period that runs was lost to the buyer's bank. The next period
    that is paid opens again.
    """
    if facts.current_period_start is None:
        return False
    invoices = Invoice.objects.filter(stripe_subscription_id=facts.stripe_subscription_id)
    payments = Payment.objects.filter(
        stripe_invoice_id__in=invoices.values("stripe_invoice_id"),
        created_at__gte=facts.current_period_start,
        disputed=True,
    )
    return any(_is_lost(payment) for payment in payments)


def _is_lost(payment: Payment) -> bool:
    """All of it: a part that the bank took weighs as a partial refund does."""
    if not payment.disputed:
        return False
    lost = Dispute.objects.filter(payment=payment, status=LOST).aggregate(sum=Sum("amount_minor"))
    taken = lost["sum"] or 0
    return taken > 0 and taken + payment.refunded_minor >= payment.captured_minor
