"""What staff do to an invoice, from its own page and from the rows of the consumer page."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import gateway, invoice_desk
from billing.admin.credit_note_page import credit_page
from billing.invoice_desk import Settled
from billing.models import Invoice
from billing.money import shown
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out, opened_on
from keystore.admin.pages import actor_of, holds, row_or_404, row_or_none

STRIPE_SECONDS = 8.0
SEE = "billing.view_invoice"
ROWS = Invoice.objects.select_related("project", "consumer__stripe_customer")
OFFERED = {
    "collect": invoice_desk.PAYABLE,
    "void": invoice_desk.VOIDABLE,
    "give_up": invoice_desk.GIVEN_UP,
    "paid_elsewhere": invoice_desk.PAYABLE,
    "credit": ("open", "paid"),
    "refund": ("paid",),
}


class InvoiceDialog(ReasonDialog):
    """A dialog about one invoice."""

    form_before_template = "admin/acts/follows.html"
    said = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invoice: Invoice = row_or_404(ROWS.all(), self.object_id)

    def get_before_template_context(self, request: Any, object_id: Any = None) -> dict[str, Any]:
        row = self.invoice
        left = max(row.total_minor - row.paid_minor - row.credited_minor, 0)
        return {"follows": [self.said.format(left=shown(left, row.currency), row=row)]}


class CollectDialog(InvoiceDialog):
    said = "{left} of {row} is charged now, to the card that pays by default."


class VoidDialog(InvoiceDialog):
    said = "{row} is taken back as if it had never been asked for: nobody owes the {left}."


class GiveUpDialog(InvoiceDialog):
    said = "{row} becomes a bad debt: {left} is not collected any more, but may still be paid."


class ElsewhereDialog(InvoiceDialog):
    said = "{row} is marked as paid: {left} came outside of Stripe, which charges nothing."

    how = forms.CharField(
        label="How it was paid",
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Like: bank transfer of 3 March, reference 4711.",
    )


class InvoiceActs:
    """Mixed into the page of invoices."""

    actions_detail: Any = ("collect", "credit", "refund", "paid_elsewhere", "give_up", "void")
    has_collect_permission = holds("billing.collect_invoice", SEE)
    has_close_permission = holds("billing.close_invoice", SEE)
    has_credit_permission = holds("billing.issue_creditnote", SEE)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what its status allows."""
        row = row_or_none(Invoice.objects.all(), object_id)
        offered = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if row is None or _fits(one, row.status)]

    @action(
        description="Collect now",
        icon="credit_card",
        permissions=["collect"],
        dialog={"title": "Collect this invoice", "form_class": CollectDialog},
    )
    def collect(self, request: HttpRequest, form: InvoiceDialog, object_id: str) -> HttpResponse:
        return _act(request, form, invoice_desk.pay_now, card="")

    @action(
        description="Void",
        icon="block",
        permissions=["close"],
        dialog={"title": "Void this invoice", "form_class": VoidDialog},
    )
    def void(self, request: HttpRequest, form: InvoiceDialog, object_id: str) -> HttpResponse:
        return _act(request, form, invoice_desk.void)

    @action(
        description="Mark uncollectible",
        icon="money_off",
        permissions=["close"],
        dialog={"title": "Give this invoice up", "form_class": GiveUpDialog},
    )
    def give_up(self, request: HttpRequest, form: InvoiceDialog, object_id: str) -> HttpResponse:
        return _act(request, form, invoice_desk.give_up)

    @action(
        description="Paid outside of Stripe",
        icon="account_balance",
        permissions=["close"],
        dialog={"title": "Mark this invoice as paid", "form_class": ElsewhereDialog},
    )
    def paid_elsewhere(
        self, request: HttpRequest, form: InvoiceDialog, object_id: str
    ) -> HttpResponse:
        how = str(form.cleaned_data["how"])
        return _act(request, form, invoice_desk.settle_elsewhere, how=how)

    @action(description="Credit", icon="request_quote", permissions=["credit"])
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page of its own: what the note comes to is told before the click."""
        return credit_page(request, row_or_404(ROWS.all(), object_id))


def _fits(offered: Any, status: str) -> bool:
    name = offered["action_name"] if isinstance(offered, dict) else offered.action_name
    allowed = OFFERED.get(name.removeprefix("billing_invoice_"))
    return allowed is None or status in allowed


def _act(
    request: HttpRequest, form: InvoiceDialog, act: Callable[..., Settled], **more: Any
) -> HttpResponse:
    invoice = form.invoice

    def deed() -> str:
        with gateway.deadline(STRIPE_SECONDS):
            done = act(
                invoice=invoice, actor=actor_of(request), reason=form.reason, clock=now, **more
            )
        return done.said

    consumer = reverse("admin:keystore_consumer_change", args=[invoice.consumer_id])
    own = reverse("admin:billing_invoice_change", args=[invoice.pk])
    return carry_out(request, form, deed, back=opened_on(request, pages=[consumer], otherwise=own))
