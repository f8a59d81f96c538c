"""What billing keeps of somebody who is forgotten: money stays, whose it was goes."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q

from billing import mirror
from billing.models import (
    Checkout,
    CreditNote,
    CustomInvoice,
    DashboardLink,
    Drift,
    DunningCourse,
    DunningStep,
    InboxEvent,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PriceOverride,
    RefundRequest,
    StripeCustomer,
    Subscription,
)
from billing.personal import veil
from keystore.erasing import Forgetter
from keystore.models import Consumer

WORDS_BY_HAND = ("memo", "footer", "po_number", "lines", "revision")
ENDED = (OperationState.DONE, OperationState.FAILED)
# What these send to Stripe is who somebody is and where they live.
ABOUT_PERSONS = (
    OperationKind.CREATE_CUSTOMER,
    OperationKind.UPDATE_CUSTOMER,
    OperationKind.ADD_TAX_ID,
)


def erase_sales(*, consumers: Collection[Consumer], forget: Forgetter) -> None:
    """In the transaction of the erasure."""
    own = {"consumer__in": consumers}
    customer_ids = list(
        StripeCustomer.objects.filter(**own).values_list("stripe_customer_id", flat=True)
    )
    DashboardLink.objects.filter(**own).delete()
    _erase_operations(consumers, customer_ids, forget)
    Checkout.objects.filter(**own).update(success_url="", cancel_url="", session_url="")
    forget.rows(RefundRequest.objects.filter(**own), "reason", "ticket", "decision_reason")
    forget.rows(PriceOverride.objects.filter(**own), "reason")
    forget.rows(CustomInvoice.objects.filter(**own), *WORDS_BY_HAND)
    forget.rows(CreditNote.objects.filter(**own), "memo", "why", "asked")
    forget.rows(Drift.objects.filter(**own), "ours", "stripes", "note", "repair_reason")
    forget.rows(DunningCourse.objects.filter(**own), "paused_because")
    forget.rows(DunningStep.objects.filter(course__consumer__in=consumers), "note")
    veil_events(customer_ids=customer_ids)
    mirror.veil_customers(customer_ids)


def veil_events(*, customer_ids: Collection[str], since: datetime | None = None) -> None:
    """Stripe's events are kept for the record; what they say of a person is not."""
    rows = InboxEvent.objects.filter(stripe_customer_id__in=customer_ids)
    if since is not None:
        rows = rows.filter(received_at__gte=since)
    for event in rows.only("pk", "payload").iterator(chunk_size=500):
        left = veil(event.payload)
        if left != event.payload:
            InboxEvent.objects.filter(pk=event.pk).update(payload=left)


def _erase_operations(
    consumers: Collection[Consumer], customer_ids: list[str], forget: Forgetter
) -> None:
    """What was sent to Stripe, of calls that have ended."""
    own = {"consumer__in": consumers}
    subjects = [
        *(one.public_id for one in consumers),
        *customer_ids,
        *Subscription.objects.filter(**own).values_list("stripe_subscription_id", flat=True),
        *Payment.objects.filter(**own).values_list("stripe_charge_id", flat=True),
        *CustomInvoice.objects.filter(**own).values_list("public_id", flat=True),
        *CustomInvoice.objects.filter(**own).values_list("stripe_invoice_id", flat=True),
        *CreditNote.objects.filter(**own).values_list("public_id", flat=True),
    ]
    checkouts = Checkout.objects.filter(**own, operation__isnull=False)
    by_hand = CustomInvoice.objects.filter(**own, operation__isnull=False)
    theirs = (
        Q(subject__in=[one for one in subjects if one])
        | Q(pk__in=checkouts.values("operation_id"))
        | Q(pk__in=by_hand.values("operation_id"))
    )
    ended = Operation.objects.filter(theirs, state__in=ENDED)
    ended.filter(kind__in=ABOUT_PERSONS).update(params={})
    forget.rows(ended, "params", "error")
