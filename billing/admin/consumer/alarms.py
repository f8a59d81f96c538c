"""What somebody should look at before anything else on the consumer page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse

from billing.access import UNPAID_IN_GRACE
from billing.admin.consumer.access import Money
from billing.admin.consumer.row_acts import action_url
from billing.admin.consumer.tables import text_of
from billing.models import (
    Checkout,
    CheckoutState,
    Drift,
    DriftState,
    InboxEvent,
    InboxState,
    Invoice,
    Payment,
    RefundRequest,
    RefundStatus,
    StripeCustomer,
)
from billing.models.refund_requests import OPEN_REQUESTS
from billing.money import shown
from keystore.models import ApiKey, Consumer, DisabledBecause, KeyClaim


@dataclass(frozen=True)
class Alarm:
    """`kind` is danger or warning; `url` is where it is put right, in a `dialog` over the page."""

    kind: str
    text: str
    url: str
    dialog: bool = False


def alarms_of(
    *,
    consumer: Consumer,
    holder: StripeCustomer | None,
    money: Money,
    denied: Iterable[str],
    user: Any,
    at: datetime,
) -> list[Alarm]:
    """Those the user may see; `denied` are the features that staff took away."""
    may_sync = user.has_perm("billing.sync_stripecustomer")
    looks: list[tuple[str, Iterator[Alarm]]] = [
        ("keystore.view_consumer", _erased(consumer)),
        ("keystore.view_consumer", _denied(denied)),
        ("billing.view_checkout", _unfinished(consumer, may_sync)),
        ("billing.view_payment", _disputed(consumer)),
        ("billing.view_subscription", _overdue(money, at)),
        ("billing.view_invoice", _unfinished_invoices(consumer)),
        ("billing.view_inboxevent", _parked(holder)),
        ("billing.view_drift", _drifted(consumer)),
        ("billing.view_refundrequest", _refunding(consumer)),
        ("keystore.view_apikey", _unclaimed(consumer, at)),
        ("keystore.view_apikey", _switched_off(consumer)),
    ]
    return [alarm for permission, found in looks if user.has_perm(permission) for alarm in found]


def _erased(consumer: Consumer) -> Iterator[Alarm]:
    if consumer.erased_at is not None:
        text = f"The personal data was erased on {text_of(consumer.erased_at)}: this is nobody now."
        yield Alarm("danger", text, "#timeline")


def _denied(features: Iterable[str]) -> Iterator[Alarm]:
    taken = ", ".join(features)
    if taken:
        text = f"Taken away by staff: {taken}. A grant opens it again."
        yield Alarm("danger", text, "#access")


def _unfinished(consumer: Consumer, may_sync: bool) -> Iterator[Alarm]:
    """Who paid although no webhook said so stands here, and so does who only looked."""
    rows = Checkout.objects.filter(consumer=consumer, state=CheckoutState.OPEN)
    row = rows.select_related("plan").order_by("-created_at").first()
    if row is None:
        return
    text = f"The checkout of {row.plan} begun {text_of(row.created_at)} is not paid, as far as we"
    if may_sync:
        url = action_url("sync", consumer)
        yield Alarm("warning", f"{text} know. If they did pay: sync with Stripe.", url, dialog=True)
    else:
        yield Alarm("warning", f"{text} know.", "#checkouts")


def _disputed(consumer: Consumer) -> Iterator[Alarm]:
    for row in Payment.objects.filter(consumer=consumer, disputed=True)[:5]:
        amount = shown(row.captured_minor, row.currency)
        yield Alarm("danger", f"{amount} of {row.created_at:%Y-%m-%d} is disputed.", "#payments")


def _overdue(money: Money, at: datetime) -> Iterator[Alarm]:
    for row in money.subscriptions.values():
        due = row.current_period_start
        if row.status not in UNPAID_IN_GRACE or due is None:
            continue
        until = due + money.grace
        stands = (
            f"access stays until {text_of(until)}"
            if until > at
            else f"access ended {text_of(until)}"
        )
        yield Alarm(
            "warning",
            f"The renewal of {row.plan or 'a subscription'} due {due:%Y-%m-%d} is not paid: "
            f"{stands} ({money.grace.days} days of grace).",
            "#subscriptions",
        )


def _unfinished_invoices(consumer: Consumer) -> Iterator[Alarm]:
    """Drafts that Stripe could not finalize: nobody is asked to pay them."""
    rows = Invoice.objects.filter(consumer=consumer, status="draft").exclude(problem="")
    for row in rows.order_by("-created_at")[:5]:
        amount = shown(row.total_minor, row.currency)
        page = reverse("admin:billing_invoice_change", args=[row.pk])
        text = f"An invoice of {amount} could not be finalized: {row.problem}"
        yield Alarm("danger", text, page)


def _parked(holder: StripeCustomer | None) -> Iterator[Alarm]:
    if holder is None:
        return
    customer_id = holder.stripe_customer_id
    rows = InboxEvent.objects.filter(stripe_customer_id=customer_id, state=InboxState.PARKED)
    number = rows.count()
    if number:
        page = reverse("admin:billing_inboxevent_changelist")
        url = f"{page}?{urlencode({'q': customer_id, 'state__exact': 'parked'})}"
        events = "event is" if number == 1 else "events are"
        yield Alarm("danger", f"{number} of Stripe's {events} parked: replay them.", url)


def _drifted(consumer: Consumer) -> Iterator[Alarm]:
    number = Drift.objects.filter(consumer=consumer, state=DriftState.OPEN).count()
    if number:
        ours = "difference" if number == 1 else "differences"
        yield Alarm("warning", f"{number} {ours} with Stripe: sync to repair.", "#timeline")


def _refunding(consumer: Consumer) -> Iterator[Alarm]:
    asked = RefundRequest.objects.filter(consumer=consumer, state__in=OPEN_REQUESTS)
    for row in asked.order_by("-created_at")[:5]:
        waits = "awaits a second person" if row.state == "awaiting" else "is under way"
        amount = shown(row.amount_minor, row.currency)
        yield Alarm("warning", f"A refund of {amount} {waits}.", "#payments")
    known = asked.exclude(refund=None).values("refund_id")
    status = (RefundStatus.WANTED, RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION)
    open_ones = Payment.objects.filter(consumer=consumer, refunds__status__in=status)
    for payment in open_ones.exclude(refunds__in=known).distinct()[:5]:
        text = f"A refund of the payment of {payment.created_at:%Y-%m-%d} is under way."
        yield Alarm("warning", text, "#payments")


def _unclaimed(consumer: Consumer, at: datetime) -> Iterator[Alarm]:
    waiting = KeyClaim.objects.filter(
        Q(key__consumer=consumer, key__revoked_at=None, claimed_at=None)
    )
    for claim in waiting.select_related("key").order_by("pk")[:5]:
        text = (
            f"{claim.key} waits to be collected until {text_of(claim.expires_at)}."
            if claim.expires_at > at
            else f"{claim.key} was never collected, and its text is gone: rotate it."
        )
        yield Alarm("warning", text, "#keys")


def _switched_off(consumer: Consumer) -> Iterator[Alarm]:
    rows = ApiKey.objects.filter(consumer=consumer, revoked_at=None).exclude(disabled_at=None)
    for key in rows.order_by("-pk")[:5]:
        if key.disabled_because == DisabledBecause.STAFF:
            yield Alarm("warning", f"{key} is switched off by staff.", "#keys")
        else:
            text = f"{key} is suspended: what it was bought with is not paid."
            yield Alarm("warning", text, "#keys")
