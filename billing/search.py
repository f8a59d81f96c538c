"""Finding a consumer by whatever support was given."""

from django.db.models import Q, QuerySet

from billing.models import Checkout, Invoice, Payment, Purchase, StripeCustomer, Subscription
from keystore.models import ApiKey, Consumer
from keystore.selectors import keys_looking_like

# The start of Stripe's id -> the table and column where we keep it.
STRIPE_IDS = {
    "cus_": (StripeCustomer, "stripe_customer_id"),
    "sub_": (Subscription, "stripe_subscription_id"),
    "ch_": (Payment, "stripe_charge_id"),
    "py_": (Payment, "stripe_charge_id"),
    "pi_": (Payment, "stripe_payment_intent_id"),
    "in_": (Invoice, "stripe_invoice_id"),
    "cs_": (Checkout, "stripe_session_id"),
}
OUR_IDS = {"chk_": Checkout, "pur_": Purchase, "pay_": Payment, "key_": ApiKey}


def consumers_by_reference(*, reference: str) -> QuerySet[Consumer] | None:
    """Whose this Stripe id, this id of ours or this start of a key is. None: it is none of them."""
    for start, (model, column) in STRIPE_IDS.items():
        if reference.startswith(start):
            return _holders(model._default_manager.filter(**{column: reference}))
    if reference.startswith("re_"):
        return _holders(Payment.objects.filter(refunds__stripe_refund_id=reference))
    if reference.startswith("rfd_"):
        return _holders(Payment.objects.filter(refunds__public_id=reference))
    for start, model in OUR_IDS.items():
        if reference.startswith(start):
            return _holders(model._default_manager.filter(public_id=reference))
    if reference.startswith(("lk_live_", "lk_test_")):
        return _holders(keys_looking_like(text=reference))
    return None


def consumers_matching(*, term: str, with_email: bool) -> QuerySet[Consumer]:
    """Consumers by reference, by their own ids and name, and by e-mail if that may be seen."""
    found = consumers_by_reference(reference=term)
    if found is not None:
        return found
    where = Q(external_id=term) | Q(public_id=term)
    if with_email:
        where |= Q(external_id__icontains=term) | Q(email__icontains=term)
        where |= Q(name__icontains=term)
    else:  # parts of an address or a name would tell, letter by letter, what is masked
        where |= Q(external_id__icontains=term) & ~Q(external_id__contains="@")
    return Consumer.objects.filter(where)


def _holders(rows: QuerySet) -> QuerySet[Consumer]:
    return Consumer.objects.filter(pk__in=rows.order_by().values("consumer_id"))
