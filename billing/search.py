"""Finding a consumer by whatever support was given."""

from typing import Any

from django.db.models import Q, QuerySet

from billing import mirror
from billing.models import (
    Checkout,
    CreditNote,
    Dispute,
    Drift,
    InboxEvent,
    Invoice,
    Payment,
    Purchase,
    RefundRequest,
    StripeCustomer,
    Subscription,
)
from entitlements.models import Grant
from keystore.models import ApiKey, Consumer, ConsumerNote
from keystore.selectors import keys_looking_like

# The start of Stripe's id -> the table and column where we keep it.
STRIPE_IDS = {
    "cus_": (StripeCustomer, "stripe_customer_id"),
    "sub_": (Subscription, "stripe_subscription_id"),
    "ch_": (Payment, "stripe_charge_id"),
    "py_": (Payment, "stripe_charge_id"),
    "pi_": (Payment, "stripe_payment_intent_id"),
    "re_": (Payment, "refunds__stripe_refund_id"),
    "pyr_": (Payment, "refunds__stripe_refund_id"),
    "in_": (Invoice, "stripe_invoice_id"),
    "cs_": (Checkout, "stripe_session_id"),
    "dp_": (Dispute, "stripe_dispute_id"),
    "du_": (Dispute, "stripe_dispute_id"),
    "cn_": (CreditNote, "stripe_credit_note_id"),
}
OUR_IDS = {
    "chk_": (Checkout, "public_id"),
    "pur_": (Purchase, "public_id"),
    "pay_": (Payment, "public_id"),
    "rfd_": (Payment, "refunds__public_id"),
    "rrq_": (RefundRequest, "public_id"),
    "dsp_": (Dispute, "public_id"),
    "crn_": (CreditNote, "public_id"),
    "drift_": (Drift, "public_id"),
    "grant_": (Grant, "public_id"),
    "note_": (ConsumerNote, "public_id"),
    "key_": (ApiKey, "public_id"),
}
CARDS = ("pm_", "card_", "src_")


def consumers_by_reference(*, reference: str) -> QuerySet[Consumer] | None:
    """Whose this Stripe id, this id of ours, invoice number or start of a key is. None: it is none
    of them.
    """
    for start, (model, column) in {**STRIPE_IDS, **OUR_IDS}.items():
        if reference.startswith(start):
            return _holders(model._default_manager.filter(**{column: reference}))
    if reference.startswith("evt_"):
        told = InboxEvent.objects.filter(event_id=reference).exclude(stripe_customer_id="")
        return _holders_at_stripe(told.values("stripe_customer_id"))
    if reference.startswith(CARDS):
        return _holders_at_stripe(mirror.customers_with_card(reference))
    if reference.startswith(("lk_live_", "lk_test_")):
        return _holders(keys_looking_like(text=reference))
    numbered = Invoice.objects.filter(number=reference.upper()).exclude(number="")
    return _holders(numbered) if numbered.exists() else None


def consumers_matching(*, term: str, with_email: bool) -> QuerySet[Consumer]:
    """Consumers by reference and by their own ids, and by what of them is personal if that may be
    seen. Who may not see it does not find by a part of it either: parts tell the whole, bit by bit.
    """
    term = term.replace("\x00", "")
    found = consumers_by_reference(reference=term)
    if found is not None:
        return found
    own_id = Q(external_id__icontains=term)
    if with_email:
        personal = Q(email__icontains=term) | Q(name__icontains=term)
        return Consumer.objects.filter(own_id | personal | Q(public_id=term))
    own_id &= ~Q(external_id__contains="@")
    return Consumer.objects.filter(own_id | Q(external_id=term) | Q(public_id=term))


def the_one_consumer(*, term: str, with_email: bool) -> Consumer | None:
    """The only consumer whom the term names exactly; None when there are more, or it is a part."""
    term = term.replace("\x00", "")
    found = consumers_by_reference(reference=term)
    if found is None:
        named = Q(external_id=term) | Q(public_id=term)
        found = Consumer.objects.filter(named | Q(email__iexact=term) if with_email else named)
    hits = list(found[:2]) if term else []
    return hits[0] if len(hits) == 1 else None


def _holders(rows: QuerySet) -> QuerySet[Consumer]:
    return Consumer.objects.filter(pk__in=rows.order_by().values("consumer_id"))


def _holders_at_stripe(customer_ids: Any) -> QuerySet[Consumer]:
    return Consumer.objects.filter(stripe_customer__stripe_customer_id__in=customer_ids)
