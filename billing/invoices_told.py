"""Invoices as their owners see them: our columns, and what only Stripe knows of one of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from billing import gateway, mirror
from billing.gateway import Object
from billing.models import Invoice, Payment, TaxRate
from billing.shapes import instant, invoice_tax_minor, ref
from billing.sums import discount_minor, rate_told
from billing.tax_rates import names_of
from config.errors import InvalidInput, NotFound, Unavailable
from keystore.models import Consumer, Project

LINES_AT_ONCE = 100


class InvoiceNotFound(NotFound):
    code = "invoice_not_found"


@dataclass(frozen=True)
class Lines:
    """A page of an invoice's lines; `live` is False when Stripe did not answer."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    live: bool = True

    def body(self) -> dict[str, Any]:
        more = self.next_cursor is not None
        return {"data": self.data, "next_cursor": self.next_cursor, "has_more": more}


def invoices_of(*, project: Project, consumer: Consumer | None = None) -> Any:
    """Invoices of a project, or of one consumer of it, drafts included."""
    rows = Invoice.objects.filter(project=project)
    if consumer is not None:
        rows = rows.filter(consumer=consumer)
    return rows.select_related("project", "consumer")


def issued(rows: Any) -> Any:
    """Without drafts, which may still change."""
    return rows.exclude(status="draft")


def invoices_by_id(stripe_ids: Iterable[str]) -> Iterable[Invoice]:
    return Invoice.objects.filter(stripe_invoice_id__in=list(stripe_ids))


def tell_all(rows: Iterable[Invoice]) -> list[dict[str, Any]]:
    return [_told(row) for row in rows]


def _told(row: Invoice) -> dict[str, Any]:
    left = row.total_minor - row.paid_minor - row.credited_minor
    due = 0 if row.status in ("paid", "void") else max(left, 0)
    return {
        "id": row.stripe_invoice_id,
        "number": row.number or None,
        "status": row.status,
        "user_id": row.consumer.external_id,
        "consumer_id": row.consumer.public_id,
        "project_id": row.project_id,
        "subscription_id": row.stripe_subscription_id or None,
        "amount_minor": row.total_minor,
        "total_minor": row.total_minor,
        "subtotal_minor": row.total_minor if row.subtotal_minor is None else row.subtotal_minor,
        "discount_minor": row.discount_minor,
        "tax_minor": row.tax_minor,
        "paid_minor": row.paid_minor,
        "credited_minor": row.credited_minor,
        "due_minor": due,
        "currency": row.currency,
        "due_at": row.due_at,
        "created_at": row.created_at,
        "hosted_url": row.hosted_url or None,
        "pdf_url": row.pdf_url or None,
    }


def tell_one(row: Invoice) -> dict[str, Any]:
    """Everything of one invoice: amounts as Stripe has them now, the first lines, the payments.

    While Stripe does not answer, what was last seen, and `live` is False.
    """
    found: Object | None
    try:
        found, live = gateway.read(f"/v1/invoices/{row.stripe_invoice_id}"), True
    except (Unavailable, gateway.StripeMissing):
        found, live = mirror.invoice_seen(stripe_invoice_id=row.stripe_invoice_id), False
    told = {**_told(row), **(_live(found) if found else {})}
    told["taxes"] = _taxes(row, found or {})
    page = _first_lines(row, found or {}, live)
    paid = Payment.objects.filter(stripe_invoice_id=row.stripe_invoice_id, project=row.project_id)
    return {
        **told,
        "lines": page.body(),
        "payments": [_payment(one) for one in paid.order_by("-created_at", "-pk")],
        "live": live,
    }


def _first_lines(row: Invoice, found: Object, live: bool) -> Lines:
    """Stripe sends ten with an invoice and the rest on request."""
    held = found.get("lines") or {"data": [], "has_more": False}
    if held["has_more"] and live:
        return lines_of(row=row, after="", limit=LINES_AT_ONCE)
    lines = held["data"][:LINES_AT_ONCE]
    more = held["has_more"] or len(held["data"]) > len(lines)
    return Lines([_line(one) for one in lines], lines[-1]["id"] if more and lines else None, live)


def _live(found: Object) -> dict[str, Any]:
    return {
        "status": found["status"],
        "number": found["number"],
        "subtotal_minor": found["subtotal"],
        "total_minor": found["total"],
        "amount_minor": found["total"],
        "discount_minor": discount_minor(found),
        "tax_minor": invoice_tax_minor(found),
        "paid_minor": found["amount_paid"],
        "due_minor": found["amount_remaining"],
        "period_start": instant(found["period_start"]),
        "period_end": instant(found["period_end"]),
        "due_at": instant(found["due_date"]),
        "memo": found["description"],
        "hosted_url": found.get("hosted_invoice_url"),
        "pdf_url": found.get("invoice_pdf"),
    }


def _taxes(row: Invoice, found: Object) -> list[dict[str, Any]]:
    """The sums by rate. Of rates that were not named here, what Stripe calls them."""
    sums = [(tax, (tax["tax_rate_details"] or {}).get("tax_rate", "")) for tax in _sums(found)]
    names = names_of(project=row.project, stripe_ids=[rate for _, rate in sums])
    return [
        {
            **(_named(names[rate]) if rate in names else rate_told(rate)),
            "tax_rate_id": rate or None,
            "reason": tax["taxability_reason"] or "",
            "inclusive": tax["tax_behavior"] == "inclusive",
            "amount_minor": tax["amount"],
        }
        for tax, rate in sums
    ]


def _named(rate: TaxRate) -> dict[str, Any]:
    return {
        "name": rate.name,
        "percentage": f"{rate.percentage.normalize():f}",
        "country": None,
    }


def _sums(found: Object) -> list[Object]:
    return found.get("total_taxes") or []


def _line(found: Object) -> dict[str, Any]:
    details = (found.get("pricing") or {}).get("price_details") or {}
    return {
        "id": found["id"],
        "description": found["description"],
        "quantity": found["quantity"],
        "amount_minor": found["amount"],
        "tax_minor": sum(tax["amount"] for tax in found.get("taxes") or []),
        "currency": found["currency"],
        "price_id": ref(details.get("price")) or None,
        "period_start": instant(found["period"]["start"]),
        "period_end": instant(found["period"]["end"]),
    }


def _payment(row: Payment) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "status": row.status,
        "amount_minor": row.captured_minor,
        "refunded_minor": row.refunded_minor,
        "currency": row.currency,
        "failure_message": row.failure_message or None,
        "created_at": row.created_at,
    }


def lines_of(*, row: Invoice, after: str, limit: int) -> Lines:
    """A page of lines, as Stripe orders them. Raises InvalidInput for a cursor that Stripe does
    not know.
    """
    wanted = {"starting_after": after} if after else {}
    path = f"/v1/invoices/{row.stripe_invoice_id}/lines"
    try:
        found = gateway.read(path, limit=limit, **wanted)
    except (gateway.StripeMissing, gateway.StripeRefused) as unknown:
        if not after:
            raise
        raise InvalidInput("This cursor is not known: start again without one.") from unknown
    lines = found["data"]
    more = found["has_more"] and lines
    return Lines([_line(one) for one in lines], lines[-1]["id"] if more else None)
