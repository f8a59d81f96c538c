"""What the webhook desk shows: failures that stand together, an event's effects, its object now."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from billing.customers import find_holder
from billing.models import (
    Checkout,
    InboxEvent,
    InboxState,
    Invoice,
    Operation,
    Payment,
    Price,
    Refund,
    StripeCustomer,
    Subscription,
)
from keystore.models import AuditEntry, Consumer, OutboxMessage

MOST_GROUPS = 30
MOST_EFFECTS = 100


@dataclass(frozen=True)
class Group:
    """Events of one type that fail alike."""

    type: str
    failure: str
    state: str
    number: int
    oldest: datetime


@dataclass(frozen=True)
class Effects:
    audit: list[AuditEntry]
    operations: list[Operation]
    messages: list[OutboxMessage]

    def __bool__(self) -> bool:
        return bool(self.audit or self.operations or self.messages)


def failing_groups() -> list[Group]:
    """Parked events, and those that wait after a failure; the largest group first."""
    failing = Q(state=InboxState.PARKED) | (Q(state=InboxState.PENDING) & ~Q(failure=""))
    rows = (
        InboxEvent.objects.filter(failing)
        .values("type", "failure", "state")
        .annotate(number=Count("pk"), oldest=Min("received_at"))
        .order_by("state", "-number", "type")
    )
    return [Group(**row) for row in rows[:MOST_GROUPS]]


def failing_count() -> int:
    return InboxEvent.objects.filter(state=InboxState.PARKED).count()


def effects_of(event: InboxEvent) -> Effects:
    """Whatever carries the event's correlation id, or that of one of its tries."""
    ids = {event.correlation_id, *event.tries.values_list("request_id", flat=True)} - {""}
    audit = AuditEntry.objects.filter(request_id__in=ids).order_by("pk")
    operations = Operation.objects.filter(request_id__in=ids).order_by("pk")
    messages = OutboxMessage.objects.none()
    consumer = consumer_of(event)
    if consumer is not None:
        messages = OutboxMessage.objects.filter(consumer=consumer, request_id__in=ids)
    return Effects(
        list(audit[:MOST_EFFECTS]),
        list(operations[:MOST_EFFECTS]),
        list(messages.order_by("pk")[:MOST_EFFECTS]),
    )


def consumer_of(event: InboxEvent) -> Consumer | None:
    found = find_holder(stripe_customer_id=event.stripe_customer_id)
    return found.consumer if found else None


Known = Subscription | Payment | Refund | Invoice | Checkout | StripeCustomer | Price


def object_now(event: InboxEvent) -> Known | None:
    """Our row of the object that the event is about; None if we keep none."""
    asked = event.object_id
    if not asked:
        return None
    return (
        Subscription.objects.filter(stripe_subscription_id=asked).first()
        or Invoice.objects.filter(stripe_invoice_id=asked).first()
        or Payment.objects.filter(
            Q(stripe_charge_id=asked) | Q(stripe_payment_intent_id=asked)
        ).first()
        or Refund.objects.filter(stripe_refund_id=asked).first()
        or Checkout.objects.filter(stripe_session_id=asked).first()
        or StripeCustomer.objects.filter(stripe_customer_id=asked).first()
        or Price.objects.filter(stripe_price_id=asked).first()
    )


def said_of(found: Known) -> str:
    """Its state in words."""
    if isinstance(found, StripeCustomer):
        return "deleted at Stripe" if found.deleted_at else "a customer"
    if isinstance(found, Price):
        return "for sale" if found.active else "archived"
    if isinstance(found, Checkout):
        return found.state
    return found.status
