"""What of an invoice may still be credited, and what credit notes leave of its payments.

Whoever credits or refunds locks the payment before the invoice and the invoice before its notes,
so that two at once see each other.
"""

from django.db.models import F, Sum

from billing.models import CreditNote, Invoice, Payment, Refund
from billing.models.credit_notes import HOLDING_NOTES, UNISSUED
from billing.models.projections import HOLDING


def lock_for_credit(invoice: Invoice) -> Invoice:
    """The invoice, its payments and itself locked until the transaction ends."""
    payments = Payment.objects.filter(
        stripe_invoice_id=invoice.stripe_invoice_id, project=invoice.project_id
    )
    list(payments.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk"))
    rows = Invoice.objects.select_for_update(of=("self",), no_key=True).select_related(
        "project", "consumer"
    )
    return rows.get(pk=invoice.pk)


def creditable_minor(invoice: Invoice) -> int:
    """What neither credit notes nor refunds without one have taken yet."""
    return max(invoice.total_minor - invoice.credited_minor - _plain_refunds(invoice), 0)


def _plain_refunds(invoice: Invoice) -> int:
    """Refunds of its payments that belong to no credit note."""
    notes = CreditNote.objects.filter(invoice=invoice, status__in=HOLDING_NOTES)
    linked = {refund for ids in notes.values_list("stripe_refund_ids", flat=True) for refund in ids}
    own = notes.filter(status__in=UNISSUED).values("refund_request__refund")
    refunds = Refund.objects.filter(
        payment__stripe_invoice_id=invoice.stripe_invoice_id,
        project=invoice.project_id,
        status__in=HOLDING,
    )
    plain = refunds.exclude(stripe_refund_id__in=linked).exclude(
        pk__in=own.exclude(refund_request__refund=None)
    )
    return int(plain.aggregate(sum=Sum("amount_minor"))["sum"] or 0)


def hold_credit(*, invoice: Invoice, amount_minor: int) -> bool:
    """Take the amount from what may be credited, in one statement that cannot take too much."""
    held = Invoice.objects.filter(
        pk=invoice.pk, total_minor__gte=F("credited_minor") + amount_minor
    ).update(credited_minor=F("credited_minor") + amount_minor)
    return bool(held)


def recount_credits(invoice: Invoice) -> None:
    """Set what credit notes hold; inside the transaction that changed one of them."""
    locked = Invoice.objects.select_for_update(of=("self",), no_key=True).get(pk=invoice.pk)
    notes = CreditNote.objects.filter(invoice=locked, status__in=HOLDING_NOTES)
    held = notes.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    # Stripe may have credited by other hands what we hold for a note it is about to refuse.
    Invoice.objects.filter(pk=locked.pk).update(
        credited_minor=min(held, max(locked.total_minor, 0))
    )


def given_otherwise_minor(payment: Payment) -> int:
    """What credit notes gave back of this payment's money without a refund."""
    if not payment.stripe_invoice_id:
        return 0
    invoice = Invoice.objects.filter(
        stripe_invoice_id=payment.stripe_invoice_id, project=payment.project_id
    ).first()
    if invoice is None or not invoice.credited_minor:
        return 0
    notes = CreditNote.objects.filter(invoice=invoice, status__in=HOLDING_NOTES)
    sums = notes.aggregate(given=Sum(F("balance_minor") + F("outside_minor")), due=Sum("due_minor"))
    captured = Payment.objects.filter(
        stripe_invoice_id=invoice.stripe_invoice_id, project=payment.project_id
    ).aggregate(sum=Sum("captured_minor"))["sum"]
    # What no charge paid, such as the customer's balance, is given back first.
    uncharged = max(invoice.total_minor - (sums["due"] or 0) - (captured or 0), 0)
    return max((sums["given"] or 0) - uncharged, 0)
