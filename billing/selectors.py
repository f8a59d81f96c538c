"""Reads of what was paid, for the API and the admin alike."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, Sum

from billing.access import PAYING
from billing.models import Checkout, InboxEvent, Payment, Refund, RefundStatus, Subscription
from keystore.models import Project

COUNTED_REFUNDS = (RefundStatus.SUCCEEDED, RefundStatus.PENDING)


@dataclass(frozen=True)
class SubscriptionMetrics:
    """Counts by Stripe's status and by plan; monthly income per currency, never added up."""

    active: int
    by_status: dict[str, int]
    by_plan: dict[str, int]
    mrr_minor: dict[str, int]


@dataclass(frozen=True)
class Revenue:
    """Money of one currency over [since, until)."""

    currency: str
    payments: int
    gross_minor: int
    refunded_minor: int

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.refunded_minor


def subscription_metrics(*, project: Project) -> SubscriptionMetrics:
    rows = Subscription.objects.filter(project=project)
    paying = rows.filter(status__in=PAYING)
    by_status = rows.values_list("status").annotate(n=Count("pk")).order_by("status")
    by_plan = paying.values_list("plan__code").annotate(n=Count("pk")).order_by("plan__code")
    mrr = rows.filter(status="active").values_list("currency").annotate(sum=Sum("mrr_minor"))
    return SubscriptionMetrics(
        active=paying.count(),
        by_status=dict(by_status),
        by_plan={code or "unknown": count for code, count in by_plan},
        mrr_minor=dict(mrr.order_by("currency")),
    )


def revenue_of(
    *, project: Project, since: datetime | None = None, until: datetime | None = None
) -> list[Revenue]:
    """Payments by the time they were made, refunds by the time they were made."""
    during = Q()
    if since is not None:
        during &= Q(created_at__gte=since)
    if until is not None:
        during &= Q(created_at__lt=until)
    paid = (
        Payment.objects.filter(during, project=project, status="succeeded")
        .values_list("currency")
        .annotate(n=Count("pk"), sum=Sum("captured_minor"))
    )
    given_back = (
        Refund.objects.filter(during, project=project, status__in=COUNTED_REFUNDS)
        .values_list("currency")
        .annotate(sum=Sum("amount_minor"))
    )
    gross = {currency: (count, total) for currency, count, total in paid}
    refunded = dict(given_back)
    return [
        Revenue(
            currency=currency,
            payments=gross.get(currency, (0, 0))[0],
            gross_minor=gross.get(currency, (0, 0))[1],
            refunded_minor=refunded.get(currency, 0),
        )
        for currency in sorted(gross.keys() | refunded.keys())
    ]


def find_checkout(*, reference: str, project: Project | None = None) -> Checkout | None:
    """A checkout by our id or Stripe's session id; within the project when one is given."""
    rows = Checkout.objects.select_related("consumer__project", "price__plan__api", "plan")
    if project is not None:
        rows = rows.filter(project=project)
    if reference.startswith("cs_"):
        return rows.filter(stripe_session_id=reference).first()
    return rows.filter(public_id=reference).first()


def inbox_events_of(*, project: Project, event_ids: list[str]) -> list[InboxEvent]:
    """Those of the events whose Stripe customer belongs to the project."""
    ours = Q(
        stripe_customer_id__in=project.stripe_customers.values_list("stripe_customer_id", flat=True)
    )
    return list(InboxEvent.objects.filter(ours, event_id__in=event_ids).order_by("pk"))
