"""Invoices that are corrected downwards: Stripe's credit notes in our columns."""

from datetime import datetime
from typing import Any

from billing.credits import recount_credits
from billing.gateway import Object
from billing.models import CreditNote, Invoice, StripeCustomer
from billing.shapes import instant, ref


def project_credit_note(
    *, found: Object, holder: StripeCustomer, at: datetime
) -> CreditNote | None:
    """The credit note in our columns; None while its invoice is not known here. What it gives
    back arrives as a refund of its own, and only that changes access.
    """
    rows = Invoice.objects.select_for_update(of=("self",), no_key=True)
    invoice = rows.filter(
        stripe_invoice_id=ref(found["invoice"]), consumer=holder.consumer_id
    ).first()
    if invoice is None:
        return None
    known = _known(found, invoice)
    facts = {**_facts(found), "synced_at": at}
    if known is None:
        known = CreditNote.objects.create(
            project_id=invoice.project_id,
            consumer_id=invoice.consumer_id,
            invoice=invoice,
            created_at=instant(found["created"]),
            **facts,
        )
    else:
        CreditNote.objects.filter(pk=known.pk).update(**facts)
        known.refresh_from_db()
    recount_credits(invoice)
    return known


def _known(found: Object, invoice: Invoice) -> CreditNote | None:
    rows = CreditNote.objects.filter(invoice=invoice)
    known = rows.filter(stripe_credit_note_id=found["id"]).first()
    mark = (found.get("metadata") or {}).get("operation_id")
    if known is None and mark:
        # Ours, made by an operation whose answer is not settled yet.
        known = rows.filter(operation__public_id=mark).first()
    return known


def _facts(found: Object) -> dict[str, Any]:
    refunds = found["refunds"] or []
    refunded = sum(one["amount_refunded"] for one in refunds)
    outside = found["out_of_band_amount"] or 0
    return {
        "stripe_credit_note_id": found["id"],
        "number": found["number"] or "",
        "status": found["status"],
        "reason": found["reason"] or "",
        "amount_minor": found["total"],
        "tax_minor": tax_of(found),
        "due_minor": found["pre_payment_amount"],
        "refunded_minor": refunded,
        "outside_minor": outside,
        "balance_minor": max(found["post_payment_amount"] - refunded - outside, 0),
        "stripe_refund_ids": [ref(one["refund"]) for one in refunds],
        "currency": found["currency"],
        "pdf_url": found.get("pdf") or "",
    }


def tax_of(found: Object) -> int:
    """The tax within a credit note, on top and inside."""
    return sum(tax["amount"] for tax in found.get("total_taxes") or [])
