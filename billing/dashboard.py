"""What a customer sees of themselves: plan, access, usage, invoices, keys. One consumer, read only.

The words are in the language that is active while it is made.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from billing import access
from billing.grace import grace_of
from billing.models import (
    CourseState,
    DunningStep,
    Invoice,
    StepState,
    StripeCustomer,
    Subscription,
)
from billing.ownpages.wording import day, discount, money, number, per_month
from entitlements.models import Feature
from entitlements.resolve import Entitlement
from entitlements.selectors import entitlements_of
from keystore.handover import is_waiting
from keystore.models import ApiKey, Consumer
from metering.selectors import QuotaShown, quota_of

NEWEST_INVOICES = 24
SAID = {  # Stripe's words in the customer's
    "active": gettext_noop("Active"),
    "trialing": gettext_noop("Trial"),
    "past_due": gettext_noop("Payment failed: we try again"),
    "unpaid": gettext_noop("Unpaid"),
    "incomplete": gettext_noop("Waiting for the first payment"),
    "incomplete_expired": gettext_noop("Not paid in time"),
    "paused": gettext_noop("Paused"),
    "canceled": gettext_noop("Ended"),
}
INVOICES_SAID = {
    "open": gettext_noop("To pay"),
    "paid": gettext_noop("Paid"),
    "void": gettext_noop("Void"),
    "uncollectible": gettext_noop("Written off"),
}


@dataclass(frozen=True)
class PlanLine:
    """`unpaid` is the invoice whose payment failed; "" when there is none."""

    stripe_id: str
    name: str
    status: str
    price: str
    note: str  # what happens next, and when
    discounts: list[str]  # "20 % off until 1 April 2026"
    unpaid: str
    can_change: bool
    can_cancel: bool
    can_keep: bool


@dataclass(frozen=True)
class AccessLine:
    name: str
    value: str
    until: str


@dataclass(frozen=True)
class UsageLine:
    """`limit` is "" when there is none; then there is no bar."""

    name: str
    used: str
    limit: str
    percent: int
    note: str  # when it starts anew, and what comes on top


@dataclass(frozen=True)
class InvoiceLine:
    stripe_id: str
    number: str
    day: str
    total: str
    status: str
    pdf_url: str
    to_pay: bool


@dataclass(frozen=True)
class KeyLine:
    """`shown` is the key's start and end; the rest is known to its holder alone."""

    public_id: str
    shown: str
    state: str
    used: str
    waits: bool
    can_rotate: bool


@dataclass(frozen=True)
class Dashboard:
    """`has_customer`: Stripe knows them, so that there are cards and a portal."""

    project: str
    plans: list[PlanLine]
    access: list[AccessLine]
    invoices: list[InvoiceLine]
    keys: list[KeyLine]
    usage: list[UsageLine]
    has_customer: bool


def dashboard_of(*, consumer: Consumer, at: datetime) -> Dashboard:
    """The customer's own page at `at`. Asks nobody but our tables."""
    names = dict(Feature.objects.filter(project=consumer.project).values_list("code", "name"))
    current = entitlements_of(consumer=consumer, at=at)
    holders = StripeCustomer.objects.filter(consumer=consumer, deleted_at=None)
    return Dashboard(
        project=str(consumer.project),
        plans=_plans(consumer, at),
        access=[_access(one, names) for one in current if one.active],
        invoices=_invoices(consumer),
        keys=[_key(key, at) for key in consumer.keys.filter(revoked_at=None).order_by("-pk")],
        usage=usage_of(consumer=consumer, at=at),
        has_customer=holders.exists(),
    )


def usage_of(*, consumer: Consumer, at: datetime) -> list[UsageLine]:
    """How much of each limit is used."""
    return [_usage(quota) for quota in quota_of(consumer=consumer, at=at)]


def _plans(consumer: Consumer, at: datetime) -> list[PlanLine]:
    found = Subscription.objects.filter(consumer=consumer).select_related("plan", "project")
    unpaid = _unpaid(consumer)
    return [
        _plan(one, unpaid.get(one.stripe_subscription_id, ""), at)
        for one in found.order_by("ended_at", "-started_at")
    ]


def _unpaid(consumer: Consumer) -> dict[str, str]:
    """The newest open invoice of each subscription."""
    found = Invoice.objects.filter(consumer=consumer, status="open").order_by("created_at")
    return dict(found.values_list("stripe_subscription_id", "stripe_invoice_id"))


def _plan(one: Subscription, unpaid: str, at: datetime) -> PlanLine:
    live = one.ended_at is None and one.status not in access.ENDED
    paying = live and one.status in access.PAYING and not one.paused
    return PlanLine(
        stripe_id=one.stripe_subscription_id,
        name=str(one.plan or _("Subscription")),
        status=_(SAID["paused"] if live and one.paused else SAID.get(one.status, one.status)),
        price=per_month(one.mrr_minor, one.currency),
        note=_what_next(one, at),
        discounts=[discount(told) for told in one.discounts],
        unpaid=unpaid if live and one.status not in access.PAYING else "",
        can_change=paying and one.cancel_at is None,
        can_cancel=live and one.cancel_at is None,
        can_keep=live and one.cancel_at is not None,
    )


def _what_next(one: Subscription, at: datetime) -> str:
    if one.ended_at:
        return _("Ended on %(day)s") % {"day": day(one.ended_at)}
    if one.status in access.UNPAID_IN_GRACE:
        window = access.subscription_window(
            one, grace=grace_of(one.project), lost_at=None, doubled=False
        )
        if window and window[1]:
            return _unpaid_note(one, window[1], at)
    if one.cancel_at:
        return _("Ends on %(day)s") % {"day": day(one.cancel_at)}
    if one.trial_end and one.status == "trialing":
        return _("The trial ends on %(day)s; then it renews") % {"day": day(one.trial_end)}
    if one.paused and one.paid_until:
        return _("Paused; paid until %(day)s") % {"day": day(one.paid_until)}
    if one.current_period_end and one.status in access.PAYING:
        return _("Renews on %(day)s") % {"day": day(one.current_period_end)}
    return ""


def _unpaid_note(one: Subscription, until: datetime, at: datetime) -> str:
    """By when to pay, and when we last wrote about it."""
    if until > at:
        note = _("Payment failed: pay by %(day)s, or access ends") % {"day": day(until)}
    else:
        note = _("Access ended on %(day)s: it is back as soon as you pay") % {"day": day(until)}
    mails = DunningStep.objects.filter(course__subscription=one, state=StepState.SENT)
    latest = mails.exclude(course__state=CourseState.CLOSED).order_by("-sent_at").first()
    if latest is None or latest.sent_at is None:
        return note
    wrote = _("we wrote to you on %(day)s") % {"day": day(latest.sent_at)}
    return f"{note}; {wrote}"


def _access(one: Entitlement, names: dict[str, str]) -> AccessLine:
    if one.kind == "limit":
        value = _("unlimited") if one.limit is None else number(one.limit)
    else:
        value = _("included") if one.value is True else str(one.value)
    until = day(one.valid_to) if one.valid_to else ""
    return AccessLine(names.get(one.feature_code) or one.feature_code, value, until)


def _usage(quota: QuotaShown) -> UsageLine:
    left, meter = quota.left, quota.meter
    used, limit = left.used + left.reserved, left.limit
    notes = []
    if quota.resets_at:
        notes.append(_("starts anew on %(day)s") % {"day": day(quota.resets_at)})
    if left.credits:
        notes.append(_("%(count)s more from credits") % {"count": number(left.credits)})
    return UsageLine(
        name=str(meter.name or meter.code),
        used=number(used),
        limit="" if limit is None else number(limit),
        percent=_percent(used, limit),
        note=", ".join(notes),
    )


def _percent(used: Decimal, limit: Decimal | None) -> int:
    """0 to 100; what is begun is never 0, what is not full never 100."""
    if not limit:
        return 100 if limit == 0 else 0
    exact = used * 100 / limit
    return int(exact) if exact >= 1 else int(exact > 0)


def _invoices(consumer: Consumer) -> list[InvoiceLine]:
    newest = Invoice.objects.filter(consumer=consumer).exclude(status="draft")
    return [
        InvoiceLine(
            stripe_id=one.stripe_invoice_id,
            number=one.number or one.stripe_invoice_id,
            day=day(one.created_at),
            total=money(one.total_minor, one.currency),
            status=_(INVOICES_SAID.get(one.status, one.status)),
            pdf_url=one.pdf_url if one.pdf_url.startswith(("https://", "http://")) else "",
            to_pay=one.status == "open" and bool(one.hosted_url),
        )
        for one in newest.order_by("-created_at")[:NEWEST_INVOICES]
    ]


def _key(key: ApiKey, at: datetime) -> KeyLine:
    if key.replaced_at and key.expires_at and key.is_usable(at):
        state = _("replaced, works until %(day)s") % {"day": day(key.expires_at)}
    else:
        state = _("works") if key.is_usable(at) else _("does not work")
    used = _("last used on %(day)s") % {"day": day(key.last_used_at)} if key.last_used_at else ""
    return KeyLine(
        public_id=key.public_id,
        shown=str(key),
        state=state,
        used=used or _("never used"),
        waits=is_waiting(key, at),
        can_rotate=key.replaced_at is None and key.is_usable(at),
    )
