"""Money that a buyer's bank takes back, and what it means for access.

While the bank decides nothing changes here: the buyer may be right, and a purchase that is closed
at a mistake is hard to make good. A lost dispute ends access as a full refund does; a won one, or
one that the bank reopens and then decides for us, leaves or gives it back.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet, Sum

from billing.gateway import Object
from billing.models import Dispute, Invoice, Payment, StripeCustomer
from billing.shapes import instant, ref
from keystore.locking import upsert

LOST = "lost"


def project_dispute(*, found: Object, holder: StripeCustomer, at: datetime) -> Dispute | None:
    """The dispute in our columns; None while its payment is not known here."""
    payment = Payment.objects.filter(
        stripe_charge_id=ref(found["charge"]), consumer=holder.consumer_id
    ).first()
    if payment is None:
        return None
    row, _ = upsert(
        Dispute,
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


@dataclass(frozen=True)
class Losses:
    """Payments of which banks took back all that was left."""

    by_subscription: dict[str, datetime]  # when the newest of them was paid
    intents: frozenset[tuple[int, str]]  # project and payment intent


def losses_of(payments: QuerySet[Payment]) -> Losses:
    """Those among `payments`; a part that a bank took weighs as a partial refund does."""
    taken = Sum("disputes__amount_minor", filter=Q(disputes__status=LOST))
    lost = payments.filter(disputed=True).annotate(taken=taken)
    lost = lost.filter(taken__gt=0, captured_minor__lte=F("taken") + F("refunded_minor"))
    rows = list(
        lost.order_by("created_at").values_list(
            "project_id", "stripe_payment_intent_id", "stripe_invoice_id", "created_at"
        )
    )
    invoices = Invoice.objects.filter(stripe_invoice_id__in={row[2] for row in rows} - {""})
    subscriptions = dict(invoices.values_list("stripe_invoice_id", "stripe_subscription_id"))
    paid_for = [(subscriptions.get(invoice, ""), paid_at) for _, _, invoice, paid_at in rows]
    return Losses(
        by_subscription={each: paid_at for each, paid_at in paid_for if each},
        intents=frozenset((project, intent) for project, intent, _, _ in rows if intent),
    )
