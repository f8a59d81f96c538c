"""Reads of what was paid, for the API and the admin alike."""

from datetime import datetime

from django.db.models import Q, QuerySet

from billing.models import Checkout, InboxEvent
from keystore.models import Project


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


def inbox_of(
    *,
    project: Project,
    state: str | None = None,
    type: str | None = None,
    failure: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[InboxEvent]:
    """Events of the project's own customers; each condition narrows them."""
    own = project.stripe_customers.values("stripe_customer_id")
    asked = {
        "state": state,
        "type": type,
        "failure": failure,
        "received_at__gte": since,
        "received_at__lt": until,
    }
    conditions = {name: value for name, value in asked.items() if value}
    return InboxEvent.objects.filter(stripe_customer_id__in=own, **conditions)
