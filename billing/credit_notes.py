"""Invoices that are corrected downwards: Stripe's credit notes in our columns."""

from datetime import datetime

from billing.gateway import Object
from billing.models import CreditNote, Invoice, StripeCustomer
from billing.shapes import instant, ref


def project_credit_note(
    *, found: Object, holder: StripeCustomer, at: datetime
) -> CreditNote | None:
    """The credit note in our columns; None while its invoice is not known here. What it gives
    back arrives as a refund of its own, and only that changes access.
    """
    invoice = Invoice.objects.filter(
        stripe_invoice_id=ref(found["invoice"]), consumer=holder.consumer_id
    ).first()
    if invoice is None:
        return None
    row, _ = CreditNote.objects.update_or_create(
        stripe_credit_note_id=found["id"],
        defaults={
            "project_id": invoice.project_id,
            "consumer_id": invoice.consumer_id,
            "invoice": invoice,
            "number": found["number"] or "",
            "status": found["status"],
            "reason": found["reason"] or "",
            "amount_minor": found["total"],
            "currency": found["currency"],
            "pdf_url": found.get("pdf") or "",
            "created_at": instant(found["created"]),
            "synced_at": at,
        },
    )
    return row
