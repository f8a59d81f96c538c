"""The kinds of difference, and what a difference is."""

from dataclasses import dataclass

from django.db import models


class DriftKind(models.TextChoices):
    """Ordered as the layers are: what is above may be the cause of what is below."""

    CUSTOMER_MISSING = "customer_missing"
    CUSTOMER_DELETED = "customer_deleted"
    SUBSCRIPTION_MISSING = "subscription_missing"
    SUBSCRIPTION_STATUS_DIFFERS = "subscription_status_differs"
    SUBSCRIPTION_PERIOD_DIFFERS = "subscription_period_differs"
    SUBSCRIPTION_PRICE_OR_QUANTITY_DIFFERS = "subscription_price_or_quantity_differs"
    SUBSCRIPTION_NOT_AT_STRIPE = "subscription_not_at_stripe"
    PAYMENT_MISSING = "payment_missing"
    PAYMENT_DIFFERS = "payment_differs"
    REFUND_MISSING_OR_AMOUNT_DIFFERS = "refund_missing_or_amount_differs"
    DISPUTE_MISSING_OR_DIFFERS = "dispute_missing_or_differs"
    LEDGER_DIFFERS = "ledger_differs"
    INVOICE_MISSING = "invoice_missing"
    INVOICE_STATUS_DIFFERS = "invoice_status_differs"
    MIRROR_DIFFERS = "mirror_differs"
    GRANT_MISSING_OR_EXTRA = "grant_missing_or_extra"
    GRANT_WINDOW_DIFFERS = "grant_window_differs"
    KEY_MISSING = "key_missing"
    KEY_STATE_DIFFERS = "key_state_differs"
    KEY_LIMIT_DIFFERS = "key_limit_differs"
    ANSWER_STALE = "answer_stale"


# Between tables of ours: no event of Stripe's explains them, and none is on its way.
OWN = frozenset(
    {
        DriftKind.LEDGER_DIFFERS,
        DriftKind.MIRROR_DIFFERS,
        DriftKind.GRANT_MISSING_OR_EXTRA,
        DriftKind.GRANT_WINDOW_DIFFERS,
        DriftKind.KEY_MISSING,
        DriftKind.KEY_STATE_DIFFERS,
        DriftKind.KEY_LIMIT_DIFFERS,
        DriftKind.ANSWER_STALE,
    }
)
# Looked for only among the objects that were listed, which `days_back` limits.
LISTED_ONLY = frozenset(
    {
        DriftKind.PAYMENT_MISSING,
        DriftKind.PAYMENT_DIFFERS,
        DriftKind.REFUND_MISSING_OR_AMOUNT_DIFFERS,
        DriftKind.DISPUTE_MISSING_OR_DIFFERS,
        DriftKind.INVOICE_MISSING,
        DriftKind.INVOICE_STATUS_DIFFERS,
    }
)
EVERY_KIND = "all"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two sides differ. For our own layers `stripes` is what should be."""

    kind: str
    object_id: str
    stripe_customer_id: str
    project_id: int | None
    consumer_id: int | None
    field: str
    ours: str
    stripes: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same difference when it is found again."""
        return self.kind, self.object_id, self.field
