"""What a customer sees of themselves: plan, access, invoices, keys. One consumer, read only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.models import Invoice, Subscription
from billing.money import shown
from entitlements.models import Feature
from entitlements.resolve import Entitlement
from entitlements.selectors import entitlements_of
from keystore.models import ApiKey, Consumer

NEWEST_INVOICES = 24
SAID = {  # Stripe's words in the customer's
    "active": "Active",
    "trialing": "Trial",
    "past_due": "Payment failed: we try again",
    "unpaid": "Unpaid",
    "incomplete": "Waiting for the first payment",
    "incomplete_expired": "Not paid in time",
    "paused": "Paused",
    "canceled": "Ended",
}


@dataclass(frozen=True)
class PlanLine:
    name: str
    status: str
    price: str
    note: str  # what happens next, and when


@dataclass(frozen=True)
class AccessLine:
    name: str
    value: str
    until: datetime | None


@dataclass(frozen=True)
class InvoiceLine:
    number: str
    day: datetime
    total: str
    status: str
    pdf_url: str


@dataclass(frozen=True)
class KeyLine:
    """`shown` is the key's start and end; the rest is known to its holder alone."""

    shown: str
    state: str
    last_used_at: datetime | None


@dataclass(frozen=True)
class Dashboard:
    project: str
    plans: list[PlanLine]
    access: list[AccessLine]
    invoices: list[InvoiceLine]
    keys: list[KeyLine]
    usage: list[Any]  # filled when usage is measured


def dashboard_of(*, consumer: Consumer, at: datetime) -> Dashboard:
    """The customer's own page at `at`. Writes nothing and asks nobody but our tables."""
    names = dict(Feature.objects.filter(project=consumer.project).values_list("code", "name"))
    current = entitlements_of(consumer=consumer, at=at)
    return Dashboard(
        project=str(consumer.project),
        plans=_plans(consumer),
        access=[_access(one, names) for one in current if one.active],
        invoices=_invoices(consumer),
        keys=[_key(key, at) for key in consumer.keys.filter(revoked_at=None).order_by("-pk")],
        usage=[],
    )


def _plans(consumer: Consumer) -> list[PlanLine]:
    found = Subscription.objects.filter(consumer=consumer).select_related("plan")
    return [
        PlanLine(
            name=str(one.plan or "Subscription"),
            status=SAID.get(one.status, one.status),
            price=f"{shown(one.mrr_minor, one.currency)} per month",
            note=_what_next(one),
        )
        for one in found.order_by("ended_at", "-started_at")
    ]


def _what_next(subscription: Subscription) -> str:
    if subscription.ended_at:
        return f"Ended on {subscription.ended_at:%d %B %Y}"
    if subscription.cancel_at:
        return f"Ends on {subscription.cancel_at:%d %B %Y}"
    if subscription.current_period_end:
        return f"Renews on {subscription.current_period_end:%d %B %Y}"
    return ""


def _access(one: Entitlement, names: dict[str, str]) -> AccessLine:
    if one.kind == "limit":
        value = "unlimited" if one.limit is None else f"{one.limit:,}"
    else:
        value = "included" if one.value is True else str(one.value)
    return AccessLine(names.get(one.feature_code) or one.feature_code, value, one.valid_to)


def _invoices(consumer: Consumer) -> list[InvoiceLine]:
    newest = Invoice.objects.filter(consumer=consumer).exclude(status="draft")
    return [
        InvoiceLine(
            number=one.number or one.stripe_invoice_id,
            day=one.created_at,
            total=shown(one.total_minor, one.currency),
            status=one.status,
            pdf_url=one.pdf_url if one.pdf_url.startswith(("https://", "http://")) else "",
        )
        for one in newest.order_by("-created_at")[:NEWEST_INVOICES]
    ]


def _key(key: ApiKey, at: datetime) -> KeyLine:
    return KeyLine(str(key), "works" if key.is_usable(at) else "does not work", key.last_used_at)
