"""What was paid: one module per subject, one name space for the rest of the code."""

from billing.models.catalog import BillingPolicy, Price, PriceKind
from billing.models.checkout import Checkout, CheckoutMode, CheckoutState
from billing.models.disputes import CreditNote, Dispute
from billing.models.inbox import (
    InboxAttempt,
    InboxEvent,
    InboxState,
    ReplayRun,
    ReplayState,
)
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
from billing.models.reconciliation import (
    Drift,
    DriftState,
    ListedObject,
    ReconciliationRun,
    RunMode,
    RunState,
)
from billing.models.refund_requests import (
    AfterRefund,
    RefundBudget,
    RefundBudgetUse,
    RefundLimit,
    RefundRequest,
    RequestState,
)
from billing.models.usage import MeterLink, ReportKind, ReportState, UsageReport
from billing.models.watch import EventSweep, InvariantCheck, StripeErrorCount

__all__ = [
    "AfterRefund",
    "BillingPolicy",
    "Checkout",
    "CheckoutMode",
    "CheckoutState",
    "CreditNote",
    "Dispute",
    "Drift",
    "DriftState",
    "EventSweep",
    "InboxAttempt",
    "InboxEvent",
    "InboxState",
    "InvariantCheck",
    "Invoice",
    "ListedObject",
    "MeterLink",
    "Operation",
    "OperationKind",
    "OperationState",
    "Payment",
    "Price",
    "PriceKind",
    "Purchase",
    "PurchaseState",
    "ReconciliationRun",
    "Refund",
    "RefundBudget",
    "RefundBudgetUse",
    "RefundLimit",
    "RefundRequest",
    "RefundStatus",
    "ReplayRun",
    "ReplayState",
    "ReportKind",
    "ReportState",
    "RequestState",
    "RunMode",
    "RunState",
    "StripeCustomer",
    "StripeErrorCount",
    "Subscription",
    "UsageReport",
]
