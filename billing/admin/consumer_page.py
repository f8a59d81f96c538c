"""What the consumer page shows below the consumer's own fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from billing.models import (
    Checkout,
    Invoice,
    Payment,
    Purchase,
    StripeCustomer,
    Subscription,
)
from billing.money import shown
from entitlements.admin import state_of as state_of_grant
from entitlements.explain import Change, Explanation, Loser
from entitlements.models import Grant
from entitlements.resolve import Offer
from entitlements.selectors import FeatureExplained, explain_all
from keystore.admin.keys import state_of as state_of_key
from keystore.models import ApiKey, AuditEntry, Consumer

NEWEST = 50
Row = list[tuple[str, Any]]


@dataclass(frozen=True)
class Table:
    """A titled table of the page; `more` counts the rows that are left out."""

    title: str
    headers: list[str]
    rows: list[Row]  # cells with their headers: on a phone each cell is a line of its own
    empty: str
    more: int = 0


@dataclass(frozen=True)
class Page:
    holder: StripeCustomer | None
    holder_url: str
    tables: list[Table]


def page_of(*, consumer: Consumer, user: Any, at: datetime) -> Page:
    """Everything about one consumer that the user may see, newest first."""
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    tables = [
        _entitlements(consumer, at),
        *(make(consumer) for permission, make in SECTIONS if user.has_perm(permission)),
    ]
    return Page(holder=holder, holder_url=_url(holder) if holder else "", tables=tables)


def _entitlements(consumer: Consumer, at: datetime) -> Table:
    headers = ["Feature", "Now", "Why", "Since, until", "What else was given", "What changes it"]
    rows = [_entitlement_cells(one) for one in explain_all(consumer=consumer, at=at)]
    return _made(
        "What they may use, and why", headers, rows, "Nothing was ever granted to this consumer."
    )


def _entitlement_cells(one: FeatureExplained) -> list[Any]:
    said = one.explanation
    current = said.entitlement
    return [
        said.feature_code,
        _now(said),
        _why(said),
        _span(current.valid_from, current.valid_to) if current else "",
        _lines(_loser(loser) for loser in said.losers),
        _lines(_change(change) for change in said.changes) or "nothing, by itself",
    ]


def _now(said: Explanation) -> str:
    current = said.entitlement
    if current is None:
        return "no"
    if not current.active:
        return f"no ({current.reason.replace('_', ' ')})"
    if current.kind == "limit":
        return "unlimited" if current.limit is None else f"{current.limit:,}"
    return "yes" if current.value is True else str(current.value)


def _why(said: Explanation) -> str:
    if said.winner is not None:
        return _offer(said.winner)
    if said.denial is not None:
        return f"denied by {said.denial.grant_id}"
    return "no grant of it is in force"


def _offer(offer: Offer) -> str:
    plan = f"plan {offer.plan} by " if offer.plan else ""
    source = offer.grant.source_ref
    return f"{plan}{offer.grant.source} {source}"


def _loser(loser: Loser) -> str:
    grant = loser.offer.grant
    instants = {
        "revoked": grant.revoked_at,
        "ended": grant.valid_to,
        "not_started": grant.valid_from,
    }
    instant = instants.get(loser.why)
    why = f"{loser.why.replace('_', ' ')}, {text_of(instant) if instant else loser.detail}"
    return f"{_offer(loser.offer)}: {why}"


def _change(change: Change) -> str:
    becomes = change.entitlement
    if becomes is None or not becomes.active:
        return f"{text_of(change.at)}: closes"
    return f"{text_of(change.at)}: {becomes.source} {becomes.source_id}"


def _subscriptions(consumer: Consumer) -> Table:
    rows = Subscription.objects.filter(consumer=consumer).select_related("plan")
    return _table(
        "Subscriptions",
        ["Subscription", "Plan", "Status", "Per month", "Period ends", "Cancels", "Trial ends"],
        rows.order_by("-started_at"),
        lambda row: [
            link(row),
            row.plan or "not in our catalogue",
            row.status,
            shown(row.mrr_minor, row.currency),
            day(row.current_period_end),
            day(row.cancel_at),
            day(row.trial_end),
        ],
    )


def _payments(consumer: Consumer) -> Table:
    return _table(
        "Payments",
        ["Payment", "Status", "Captured", "Refunded", "When", "What went wrong"],
        Payment.objects.filter(consumer=consumer).order_by("-created_at"),
        lambda row: [
            link(row),
            f"{row.status}, disputed" if row.disputed else row.status,
            shown(row.captured_minor, row.currency),
            shown(row.refunded_minor, row.currency),
            day(row.created_at),
            row.failure_message,
        ],
    )


def _purchases(consumer: Consumer) -> Table:
    rows = Purchase.objects.filter(consumer=consumer).select_related("price__plan")
    return _table(
        "Purchases",
        ["Purchase", "Plan", "State", "Amount", "When"],
        rows.order_by("-created_at"),
        lambda row: [
            link(row),
            row.price.plan,
            row.state,
            shown(row.amount_minor, row.currency),
            day(row.created_at),
        ],
    )


def _invoices(consumer: Consumer) -> Table:
    return _table(
        "Invoices",
        ["Invoice", "Status", "Total", "Paid", "When", "PDF"],
        Invoice.objects.filter(consumer=consumer).order_by("-created_at"),
        lambda row: [
            link(row),
            row.status,
            shown(row.total_minor, row.currency),
            shown(row.paid_minor, row.currency),
            day(row.created_at),
            _outside(row.pdf_url),
        ],
    )


def _checkouts(consumer: Consumer) -> Table:
    rows = Checkout.objects.filter(consumer=consumer).select_related("plan")
    return _table(
        "Checkouts",
        ["Checkout", "Plan", "State", "Started", "Completed", "Problem"],
        rows.order_by("-created_at"),
        lambda row: [
            link(row),
            row.plan,
            row.state,
            day(row.created_at),
            day(row.completed_at),
            row.problem,
        ],
    )


def _keys(consumer: Consumer) -> Table:
    rows = ApiKey.objects.filter(consumer=consumer).select_related("api", "app")
    return _table(
        "Keys",
        ["Key", "State", "API", "Limit per minute", "Expires", "Last used"],
        rows.order_by("-pk"),
        lambda row: [
            link(row),
            state_of_key(row),
            row.api or "",
            "none" if row.limit_per_minute is None else row.limit_per_minute,
            day(row.expires_at) or "never",
            day(row.last_used_at) or "never",
        ],
    )


def _grants(consumer: Consumer) -> Table:
    rows = Grant.objects.filter(consumer=consumer).select_related("plan", "feature")
    return _table(
        "Grants, live and ended",
        ["Grant", "Opens", "State", "Source", "From, until", "Given by", "Reason"],
        rows.order_by("-pk"),
        lambda row: [
            link(row, row.public_id),
            row.plan or row.feature,
            state_of_grant(row),
            row.source if row.source_ref == row.public_id else f"{row.source} {row.source_ref}",
            _span(row.valid_from, row.valid_to),
            row.granted_by,
            row.reason,
        ],
    )


def _audit(consumer: Consumer) -> Table:
    return _table(
        "Audit trail",
        ["When", "Act", "By", "On", "Reason"],
        AuditEntry.objects.filter(consumer_id=consumer.public_id).order_by("-created_at", "-pk"),
        lambda row: [
            link(row, day(row.created_at)),
            row.act,
            row.actor,
            f"{row.object_kind} {row.object_id}",
            row.reason,
        ],
    )


SECTIONS = [
    ("billing.view_subscription", _subscriptions),
    ("billing.view_payment", _payments),
    ("billing.view_purchase", _purchases),
    ("billing.view_invoice", _invoices),
    ("entitlements.view_grant", _grants),
    ("keystore.view_apikey", _keys),
    ("billing.view_checkout", _checkouts),
    ("keystore.view_auditentry", _audit),
]


def _table(title: str, headers: list[str], rows: QuerySet[Any], cells: Any) -> Table:
    """The newest rows; counts the rest so that nobody takes them for all."""
    newest = list(rows[:NEWEST])
    more = rows.count() - NEWEST if len(newest) == NEWEST else 0
    return _made(title, headers, [cells(row) for row in newest], "None.", more)


def _made(
    title: str, headers: list[str], cells: list[list[Any]], empty: str, more: int = 0
) -> Table:
    rows = [list(zip(headers, row, strict=True)) for row in cells]
    return Table(title, headers, rows, empty, more)


def link(row: Model, text: str = "") -> str:
    return format_html('<a class="text-link" href="{}">{}</a>', _url(row), text or str(row))


def day(instant: datetime | None) -> str:
    if instant is None:
        return ""
    return format_html('<span class="whitespace-nowrap">{}</span>', text_of(instant))


def _span(start: datetime, end: datetime | None) -> str:
    return format_html("<div>{}</div><div>{}</div>", day(start), day(end) or "no end")


def text_of(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _url(row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def _outside(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        return ""
    return format_html('<a class="text-link" href="{}" rel="noopener" target="_blank">PDF</a>', url)


def _lines(lines: Iterable[str]) -> str:
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines))
