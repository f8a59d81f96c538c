"""What was paid: one module per subject, one name space for the rest of the code."""

from billing.models.catalog import BillingPolicy, Price, PriceKind
from billing.models.checkout import Checkout, CheckoutMode, CheckoutState
from billing.models.inbox import InboxEvent, InboxState
from billing.models.operations import Operation, OperationKind, OperationState
from billing.models.projections import (
    Invoice,
    Payment,
    Purchase,
    PurchaseState,
    Refund,
    RefundStatus,
    StripeCustomer,
    Subscription,
)

__all__ = [
    "BillingPolicy",
    "Checkout",
    "CheckoutMode",
    "CheckoutState",
    "InboxEvent",
    "InboxState",
    "Invoice",
    "Operation",
    "OperationKind",
    "OperationState",
    "Payment",
    "Price",
    "PriceKind",
    "Purchase",
    "PurchaseState",
    "Refund",
    "RefundStatus",
    "StripeCustomer",
    "Subscription",
]
