"""The page on which staff credit an invoice: what the note comes to is told before the click."""

import uuid
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing import gateway
from billing.credit_note_desk import REASONS, NoteWish, payments_of, preview_credit_note
from billing.credit_note_steps import issue_credit_note
from billing.credits import creditable_minor
from billing.models import CreditNote, Invoice, NoteStatus, SettledBy
from billing.money import NotAnAmount, minor_of, shown, typed
from billing.refund_blocks import approval_reason
from config.clock import now
from config.errors import DomainError
from keystore.admin import personal
from keystore.admin.dialogs import LONGEST_REASON
from keystore.admin.pages import actor_of
from keystore.admin.stepup import require_step_up

STRIPE_SECONDS = 8.0
MOST_LINES = 50  # that are offered one by one
OF_PAID = [
    (SettledBy.REFUND, "Refund: the money goes back"),
    (SettledBy.BALANCE, "Balance: the next invoices cost less"),
    (SettledBy.OUTSIDE, "Outside: it was given back by other means"),
]
OF_OPEN = [(SettledBy.DUE, "The invoice asks for less")]


class CreditForm(forms.Form):
    """An amount, or amounts of lines. `previewing` demands no reason yet."""

    amount = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        max_length=20,
        required=False,
        help_text="With its tax. Leave it empty to credit lines.",
    )
    settle = forms.ChoiceField(label="Settled by", widget=UnfoldAdminSelectWidget)
    stripe_reason = forms.ChoiceField(
        label="Reason on the note", required=False, widget=UnfoldAdminSelectWidget
    )
    memo = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Printed on the credit note.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail; the customer does not see it.",
    )
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(
        self,
        invoice: Invoice,
        lines: list[dict[str, Any]],
        *args: Any,
        previewing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.invoice, self.lines = invoice, lines
        self.chosen: list[dict[str, Any]] = []
        left = creditable_minor(invoice)
        self.fields["amount"].label = f"Amount in {invoice.currency.upper()}"
        self.fields["amount"].initial = typed(left, invoice.currency)
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"
        self.fields["reason"].required = not previewing
        settle = cast(forms.ChoiceField, self.fields["settle"])
        settle.choices = OF_PAID if invoice.status == "paid" else OF_OPEN
        words = [(word, word.replace("_", " ").capitalize()) for word in REASONS]
        cast(forms.ChoiceField, self.fields["stripe_reason"]).choices = [("", "None"), *words]

    def clean_amount(self) -> int:
        return self._minor(self.cleaned_data["amount"])

    def _minor(self, text: str) -> int:
        if not text.strip():
            return 0
        try:
            return minor_of(text, self.invoice.currency)
        except NotAnAmount as problem:
            raise ValidationError(problem.message) from problem

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        for line in self.lines:
            minor = self._minor(self.typed_for(line)[:20])
            if minor:
                self.chosen.append({"line_id": line["id"], "amount_minor": minor})
        if self.chosen and given.get("amount"):
            raise ValidationError("Credit an amount, or lines: empty the one that you do not mean.")
        return given

    def typed_for(self, line: dict[str, Any]) -> str:
        return str(self.data.get(f"line-{line['id']}", ""))

    @property
    def asked(self) -> NoteWish:
        given = self.cleaned_data
        return NoteWish(
            settle=given["settle"],
            reason=given.get("reason", ""),
            amount_minor=given.get("amount", 0),
            lines=self.chosen,
            stripe_reason=given["stripe_reason"],
            memo=given["memo"],
            key=given["wish"],
        )


def credit_page(request: HttpRequest, invoice: Invoice) -> HttpResponse:
    """The form with its preview; sent, it issues the note and leads to its page."""
    elsewhere = require_step_up(request)
    if elsewhere is not None:
        return elsewhere
    act = request.POST.get("act")
    lines, problem = _lines(invoice)
    form = CreditForm(invoice, lines, request.POST or None, previewing=act == "preview")
    follows: list[tuple[str, str]] = []
    if form.is_valid():
        if act != "preview":
            made = _issue(request, form)
            if made is not None:
                return redirect("admin:billing_creditnote_change", made.pk)
        else:
            follows = _preview(request, form)
    hide = not personal.sees(request, invoice.consumer)
    context = {
        **admin.site.each_context(request),
        "title": "Credit an invoice",
        "opts": Invoice._meta,
        "form": form,
        "invoice": invoice,
        "buyer": personal.consumer_link(invoice.consumer, hide=hide),
        "total": shown(invoice.total_minor, invoice.currency),
        "left": shown(creditable_minor(invoice), invoice.currency),
        "lines": [_shown(line, form) for line in lines],
        "follows": follows,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/invoice/credit.html", context)


def _lines(invoice: Invoice) -> tuple[list[dict[str, Any]], str]:
    """The first lines as Stripe has them, or why they cannot be listed now."""
    path = f"/v1/invoices/{invoice.stripe_invoice_id}/lines"
    try:
        with gateway.deadline(STRIPE_SECONDS):
            return gateway.read(path, limit=MOST_LINES)["data"], ""
    except DomainError as problem:
        return [], f"The lines cannot be listed: {problem.message}"


def _shown(line: dict[str, Any], form: CreditForm) -> dict[str, str]:
    tax = sum(one["amount"] for one in line.get("taxes") or [])
    currency = form.invoice.currency
    said = shown(line["amount"], currency) + (f", tax {shown(tax, currency)}" if tax else "")
    return {
        "name": f"line-{line['id']}",
        "words": line["description"] or "Item",
        "amount": said,
        "value": form.typed_for(line),
    }


def _preview(request: HttpRequest, form: CreditForm) -> list[tuple[str, str]]:
    """What the note comes to and what will follow, in sentences."""
    wish, invoice = form.asked, form.invoice
    try:
        with gateway.deadline(STRIPE_SECONDS):
            seen = preview_credit_note(invoice=invoice, wish=wish)
    except DomainError as refusal:
        form.add_error(None, refusal.message)
        return []
    tax = shown(seen.tax_minor, seen.currency)
    told = [("Credited", f"{shown(seen.amount_minor, seen.currency)}, {tax} of it tax")]
    if wish.settle == SettledBy.REFUND:
        told.append(("Refund", _refund_said(request, invoice, seen.amount_minor)))
    elif wish.settle == SettledBy.BALANCE:
        told.append(("Balance", "It pays the next invoices; no money moves now."))
    elif wish.settle == SettledBy.DUE:
        told.append(("Invoice", "It asks for so much less; voiding the note undoes it."))
    else:
        told.append(("Stripe", "Notes it; no money moves there."))
    return [*told, ("Left", f"{shown(seen.left_minor, seen.currency)} may be credited afterwards.")]


def _refund_said(request: HttpRequest, invoice: Invoice, amount_minor: int) -> str:
    if not request.user.has_perm("billing.refund_payment"):
        return "You may not refund payments: settle it otherwise, or ask somebody who may."
    for payment in payments_of(invoice)[:1]:
        why = approval_reason(
            payment=payment, amount_minor=amount_minor, asker=actor_of(request), at=now()
        )
        if why:
            return f"Waits for a second person: {why}."
    return "The refund desk gives it back at once; the note is issued with it."


def _issue(request: HttpRequest, form: CreditForm) -> CreditNote | None:
    """The note, or None with the refusal on the form."""
    try:
        with gateway.deadline(STRIPE_SECONDS):
            note = issue_credit_note(
                invoice=form.invoice,
                wish=form.asked,
                actor=actor_of(request),
                person=cast(User, request.user),
                clock=now,
            )
    except DomainError as refusal:
        form.add_error(None, refusal.message)
        return None
    amount = shown(note.amount_minor, note.currency)
    if note.status == NoteStatus.ISSUED:
        messages.success(request, f"Credit note {note}: {amount} of {form.invoice} is credited.")
    elif note.status == NoteStatus.FAILED:
        messages.error(request, f"Nothing was credited. {note.problem}")
    else:
        messages.info(request, f"{amount} is held; the note is {note.status} and looked after.")
    return note
