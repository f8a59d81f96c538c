"""Invoices written by hand: the list, the page that writes one, sending it and taking it back."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from billing import custom_invoices, gateway
from billing.admin.custom_invoice_form import STRIPE_SECONDS, InvoiceForm, taxes_shown
from billing.admin.sales import CONSUMER_SEARCH, STATUS_COLOURS, SaleAdmin
from billing.models import CustomInvoice, CustomState, Invoice
from billing.models.custom_invoices import UNDER_WAY
from billing.money import shown
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import ReasonDialog, carry_out, opened_on
from keystore.admin.filters import DayFilter
from keystore.admin.pages import actor_of, holds, row_or_404
from keystore.models import Consumer

SEE = "billing.view_custominvoice"
ROWS = CustomInvoice.objects.select_related("project", "consumer")
COLOURS = {
    **STATUS_COLOURS,
    "drafting": "info",
    "revising": "info",
    "draft": "info",
    "sending": "info",
    "withdrawing": "warning",
    "withdrawn": "danger",
    "void": "danger",
}
EDITABLE = (CustomState.DRAFT, CustomState.FAILED)


@admin.register(CustomInvoice)
class CustomInvoiceAdmin(SaleAdmin):
    list_display = (
        *("public_id", "who", "total", "tax", "state_word", "at_stripe", "created_by"),
        "created_at",
    )
    list_filter = ("project", "state", "currency", ("created_at", DayFilter))
    search_fields = ("public_id", "stripe_invoice_id", "po_number", *CONSUMER_SEARCH)
    ordering = ("-pk",)
    fields = (
        *("public_id", "project", "consumer", "state", "invoice", "total", "tax"),
        *("automatic_tax", "all_lines", "days_until_due", "po_number", "memo", "footer"),
        *("problem", "created_by", "created_at"),
    )
    actions_list = ("draft",)
    actions_detail = ("edit", "send", "take_back")
    has_draft_permission = holds("billing.add_custominvoice", SEE)
    has_edit_permission = holds("billing.change_custominvoice", SEE)
    has_send_permission = holds("billing.send_custominvoice", SEE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CustomInvoice]:
        same = Invoice.objects.filter(
            stripe_invoice_id=OuterRef("stripe_invoice_id"), project=OuterRef("project")
        )
        found: QuerySet[CustomInvoice] = super().get_queryset(request)
        return found.annotate(
            invoice_pk=Subquery(same.values("pk")[:1]),
            total_minor=Subquery(same.values("total_minor")[:1]),
            tax_minor=Subquery(same.values("tax_minor")[:1]),
            invoice_status=Subquery(same.values("status")[:1]),
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what its state allows."""
        row = self.get_object(request, object_id)
        fits = {
            "edit": row is not None and row.state in EDITABLE,
            "send": row is not None and row.state == CustomState.DRAFT,
            "take_back": row is not None and row.state in (CustomState.DRAFT, CustomState.SENT),
        }
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if fits.get(_name(one), True)]

    @admin.display(description="total")
    def total(self, row: Any) -> str:
        return "" if row.total_minor is None else shown(row.total_minor, row.currency)

    @admin.display(description="tax")
    def tax(self, row: Any) -> str:
        return "" if row.tax_minor is None else shown(row.tax_minor, row.currency)

    @display(description="state", label=COLOURS, ordering="state")
    def state_word(self, row: CustomInvoice) -> str:
        return row.state

    @display(description="invoice", label=COLOURS)
    def at_stripe(self, row: Any) -> str:
        return row.invoice_status or ""

    @admin.display(description="invoice")
    def invoice(self, row: Any) -> str:
        if row.invoice_pk is None:
            return row.stripe_invoice_id or "not at Stripe yet"
        url = reverse("admin:billing_invoice_change", args=[row.invoice_pk])
        text = f"{row.stripe_invoice_id} ({row.invoice_status})"
        return format_html('<a class="text-link" href="{}">{}</a>', url, text)

    @admin.display(description="lines")
    def all_lines(self, row: CustomInvoice) -> str:
        return format_html_join(
            "", "<div>{} x {}{}{}</div>", (_line(line, row.currency) for line in row.lines)
        )

    @action(
        description="Write an invoice",
        icon="edit_document",
        variant=ActionVariant.PRIMARY,
        permissions=["draft"],
    )
    def draft(self, request: HttpRequest) -> HttpResponse:
        """A page of its own; `?consumer=` is filled in beforehand."""
        named = Consumer.objects.filter(public_id=request.GET.get("consumer", "")[:40]).first()
        return invoice_page(request, consumer=named)

    @action(description="Edit", icon="edit", permissions=["edit"])
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return invoice_page(request, row=row_or_404(ROWS.all(), object_id))

    @action(
        description="Send",
        icon="send",
        variant=ActionVariant.PRIMARY,
        permissions=["send"],
        dialog={
            "title": "Send this invoice",
            "description": "It gets its number and is due as agreed; Stripe mails it.",
            "form_class": ReasonDialog,
        },
    )
    def send(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return _act(request, form, object_id, custom_invoices.send)

    @action(
        description="Take back",
        icon="block",
        permissions=["send"],
        dialog={
            "title": "Take this invoice back",
            "description": "A draft is deleted; what was sent is void and nobody owes it any more.",
            "form_class": ReasonDialog,
        },
    )
    def take_back(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        return _act(request, form, object_id, custom_invoices.withdraw)


def _name(offered: Any) -> str:
    """What an action of Unfold's is called, however it was given its name."""
    name: str = offered["action_name"] if isinstance(offered, dict) else offered.action_name
    return name.rpartition("custominvoice_")[2]


def _line(line: dict[str, Any], currency: str) -> tuple[int, str, str, str]:
    words = line.get("price_id") or line["description"]
    minor = line.get("unit_amount_minor")
    taxes = taxes_shown(line)
    each = "" if minor is None else f" at {shown(minor, currency)}"
    return line["quantity"], words, each, f" ({taxes})" if taxes else ""


def _act(
    request: HttpRequest, form: ReasonDialog, object_id: str, act: Callable[..., CustomInvoice]
) -> HttpResponse:
    row = row_or_404(ROWS.all(), object_id)

    def deed() -> str:
        with gateway.deadline(STRIPE_SECONDS):
            done = act(row=row, actor=actor_of(request), reason=form.reason, clock=now)
        return _said(done)

    own = reverse("admin:billing_custominvoice_change", args=[row.pk])
    return carry_out(request, form, deed, back=opened_on(request, pages=[own], otherwise=own))


def _said(row: CustomInvoice) -> str:
    if row.problem:
        return f"Stripe refused: {row.problem} The invoice is {row.state}."
    if row.state in UNDER_WAY:
        return f"The invoice is {row.state}: Stripe has not answered yet; it is looked after."
    return f"The invoice is {row.state}."


def invoice_page(
    request: HttpRequest, *, row: CustomInvoice | None = None, consumer: Consumer | None = None
) -> HttpResponse:
    """The form with its sums; sent, it drafts the invoice and leads to its page."""
    act = request.POST.get("act")
    form = InvoiceForm(
        request.POST or None, row=row, consumer=consumer, previewing=act == "preview"
    )
    if form.is_valid() and act != "preview":
        made = _draft(request, form)
        if made is not None:
            messages.success(request, _said(made))
            return redirect("admin:billing_custominvoice_change", made.pk)
    context = {
        **admin.site.each_context(request),
        "title": "Edit an invoice" if row else "Write an invoice",
        "opts": CustomInvoice._meta,
        "form": form,
        "rows": form.rows(),
        "row": row,
        "sums": form.sums(),
    }
    return TemplateResponse(request, "admin/invoice/draft.html", context)


def _draft(request: HttpRequest, form: InvoiceForm) -> CustomInvoice | None:
    """The invoice, or None with the refusal on the form."""
    told: dict[str, Any] = {"wish": form.asked, "actor": actor_of(request), "clock": now}
    reason = form.cleaned_data["reason"]
    try:
        with gateway.deadline(STRIPE_SECONDS):
            if form.row is not None:
                return custom_invoices.revise(row=form.row, reason=reason, **told)
            consumer = form.cleaned_data["consumer"]
            return custom_invoices.draft_invoice(consumer=consumer, reason=reason, **told)
    except DomainError as refusal:
        form.add_error(None, refusal.message)
        return None
