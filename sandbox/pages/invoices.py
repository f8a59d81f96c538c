"""The hosted invoice page, its PDF, and the receipt of a charge."""

from __future__ import annotations

from sandbox.engine import invoices, payments
from sandbox.errors import StripeError
from sandbox.money import show
from sandbox.pages.card_form import card_fields, quick_buttons, read_card
from sandbox.pages.layout import (
    HEADERS,
    Html,
    anchor,
    chip,
    day,
    document,
    join,
    message,
    not_found,
    note,
    redirect,
    render,
)
from sandbox.pages.pdf import credit_note_pdf, invoice_pdf
from sandbox.registry import PageAnswer, PageRequest, page
from sandbox.store import Object


@page("GET /pages/invoices/{invoice}")
def show_invoice(request: PageRequest) -> PageAnswer:
    invoice = _invoice(request, request.ids[0].removesuffix(".pdf"))
    if invoice is None:
        return not_found("invoice")
    if request.ids[0].endswith(".pdf"):
        name = f'inline; filename="{invoice["number"]}.pdf"'
        return PageAnswer(
            invoice_pdf(request.sandbox, invoice),
            content_type="application/pdf",
            headers={**HEADERS, "Content-Disposition": name},
        )
    return _document(request, invoice, None)


@page("GET /pages/credit_notes/{note}")
def show_credit_note(request: PageRequest) -> PageAnswer:
    note = request.sandbox.store.find(request.ids[0].removesuffix(".pdf"))
    if note is None or note["object"] != "credit_note":
        return not_found("credit note")
    return PageAnswer(
        credit_note_pdf(request.sandbox, note),
        content_type="application/pdf",
        headers={
            **HEADERS,
            "Content-Disposition": f'inline; filename="{note["number"]}.pdf"',
        },
    )


@page("POST /pages/invoices/{invoice}")
def pay_invoice(request: PageRequest) -> PageAnswer:
    """A second press finds the invoice paid and changes nothing."""
    invoice = _invoice(request, request.ids[0])
    if invoice is None:
        return not_found("invoice")
    if invoice["status"] not in ("open", "uncollectible"):
        return redirect(invoice["hosted_invoice_url"])
    sandbox = request.sandbox
    intent = invoices.intent_of(sandbox, invoice)
    if intent and intent["status"] == "requires_action":
        return redirect(f"{sandbox.public_url}/pages/authenticate/{intent['id']}")
    try:
        method = read_card(sandbox, request.form, email=invoice["customer_email"])
        outcome = invoices.pay_invoice(
            sandbox, invoice, payment_method=method["id"], off_session=False
        )
        if outcome == "failed" and intent:
            raise payments.decline_of(sandbox, intent)
    except StripeError as refusal:
        return _document(request, invoice, str(refusal))
    if outcome == "challenge" and intent:
        return redirect(f"{sandbox.public_url}/pages/authenticate/{intent['id']}")
    return redirect(invoice["hosted_invoice_url"])


def _invoice(request: PageRequest, id: str) -> Object | None:
    """Drafts have no page yet."""
    found = request.sandbox.store.find(id)
    is_shown = found and found["object"] == "invoice" and found.get("hosted_invoice_url")
    return found if is_shown else None


def _document(request: PageRequest, invoice: Object, error: str | None) -> PageAnswer:
    currency = invoice["currency"]
    error = error or request.sandbox.store.secret(invoice["id"], "error")
    request.sandbox.store.hide(invoice["id"], error=None)
    body = render(
        '<div class="card"><div class="top"><h1>Invoice {number}</h1>{status}</div>'
        '<div class="soft">{words}</div><div class="sum">{amount}</div>'
        '<div class="row"><span>To</span><span>{who}</span></div>'
        '<div class="row"><span>Date</span><span>{date}</span></div>{lines}'
        '<div class="row total"><span>Total</span><span>{total}</span></div>'
        '<p class="end">{pdf}</p></div>{pay}',
        number=invoice["number"],
        status=chip(invoice["status"]),
        words="Amount due" if invoice["amount_remaining"] else "Amount paid",
        amount=show(invoice["amount_remaining"] or invoice["amount_paid"], currency),
        who=invoice["customer_name"] or invoice["customer_email"] or invoice["customer"],
        date=day(invoice["effective_at"]),
        lines=_lines(invoice),
        total=show(invoice["total"], currency),
        pdf=anchor(invoice["invoice_pdf"], "Download PDF", css="button"),
        pay=_pay_form(request, invoice, error),
    )
    return document(f"Invoice {invoice['number']}", body, narrow=True, status=402 if error else 200)


def _lines(invoice: Object) -> Html:
    shown = [(one["description"] or "Item", one["amount"]) for one in invoice["lines"]["data"]]
    off = sum(part["amount"] for part in invoice["total_discount_amounts"] or [])
    tax = sum(part["amount"] for part in invoice["total_taxes"] or [])
    shown += [(words, sum_) for words, sum_ in (("Discount", -off), ("Tax", tax)) if sum_]
    return join(
        render(
            '<div class="row"><span>{words}</span><span class="num">{amount}</span></div>',
            words=words,
            amount=show(amount, invoice["currency"]),
        )
        for words, amount in shown
    )


def _pay_form(request: PageRequest, invoice: Object, error: str | None) -> Html:
    if invoice["status"] not in ("open", "uncollectible"):
        return Html()
    return render(
        '<section class="card">{error}<h2>Pay by card</h2><form method="post">{fields}'
        '<button class="main" name="act" value="pay">Pay {amount}</button>{quick}</form></section>',
        error=note(error),
        fields=card_fields(request.form),
        amount=show(invoice["amount_remaining"], invoice["currency"]),
        quick=quick_buttons(),
    )


@page("GET /pages/receipts/{charge}")
def show_receipt(request: PageRequest) -> PageAnswer:
    charge = request.sandbox.store.find(request.ids[0])
    if charge is None or charge["object"] != "charge" or not charge["paid"]:
        return not_found("receipt")
    amount = show(charge["amount_captured"], charge["currency"])
    words = f"{amount} paid on {day(charge['created'])}."
    if charge["amount_refunded"]:
        words += f" {show(charge['amount_refunded'], charge['currency'])} of it was refunded."
    return message("Receipt", words)
