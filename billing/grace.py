"""For how long an unpaid renewal keeps its access, and since when it is unpaid."""

from datetime import datetime, timedelta

from billing.models import Invoice
from keystore.models import Project

DEFAULT_GRACE_DAYS = 7
OWED = ("open", "uncollectible")


def grace_of(project: Project) -> timedelta:
    """For how long an unpaid renewal keeps its access."""
    policy = getattr(project, "billing_policy", None)
    return timedelta(days=policy.grace_days if policy else DEFAULT_GRACE_DAYS)


def unpaid_since(*, stripe_subscription_id: str) -> datetime | None:
    """When the oldest unpaid invoice since the last paid one was made; None: there is none.

    Stripe goes on making invoices while a subscription is overdue: none of them brings new days.
    """
    made = Invoice.objects.filter(stripe_subscription_id=stripe_subscription_id)
    made = made.order_by("created_at")
    owed = made.filter(status__in=OWED)
    paid = made.filter(status="paid").last()
    first = owed.filter(created_at__gt=paid.created_at).first() if paid else owed.first()
    return first.created_at if first else None
