"""Refund requests with their steps and the second person's buttons; limits, budgets, disputes."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from billing import gateway
from billing.admin.refund_words import is_open, steps_of
from billing.admin.sales import STATUS_COLOURS, SaleAdmin
from billing.credit_note_steps import void_credit_note
from billing.models import (
    CreditNote,
    Dispute,
    NoteStatus,
    RefundBudget,
    RefundLimit,
    RefundRequest,
    RequestState,
)
from billing.money import NotAnAmount, minor_of, shown, typed
from billing.refund_desk import AGREE, approve, reject
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import AuditedAdmin, actor_of, holds, row_or_404, row_or_none
from keystore.admin.stepup import StepUpDialog

STRIPE_SECONDS = 8.0
SEE = "billing.view_refundrequest"
REQUEST_COLOURS = {
    **STATUS_COLOURS,
    "awaiting": "warning",
    "running": "info",
    "rejected": "danger",
    "expired": "danger",
}
DISPUTE_COLOURS = {
    "won": "success",
    "lost": "danger",
    "needs_response": "danger",
    "under_review": "warning",
    "warning_needs_response": "warning",
}
AMOUNT_LENGTH = 20


@admin.register(RefundRequest)
class RefundRequestAdmin(SaleAdmin):
    list_display = (
        "public_id",
        "who",
        "amount",
        "state_label",
        "requested_by",
        "decided_by",
        "expires_at",
        "created_at",
    )
    list_filter = ("project", "state", ("created_at", DayFilter))
    list_select_related = ("consumer", "project")
    search_fields = ("public_id", "payment__stripe_charge_id", "ticket", "requested_by")
    fields = (
        "payment",
        "consumer",
        "amount",
        "reason",
        "stripe_reason",
        "ticket",
        "after",
        "ends_access",
        "refund",
        "subscription",
        "cancel_operation",
        "budget_use",
        "requested_by",
        "created_at",
        "finished_at",
    )
    change_form_outer_before_template = "admin/refund/steps.html"
    actions_detail = ("approve", "reject")
    has_approve_permission = holds(AGREE, SEE)
    has_reject_permission = holds("billing.refund_payment", SEE)

    class Media:
        js = ("latchkey/refund.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefundRequest]:
        """What waits for whoever looks comes first, then what is open."""
        own = Q(requested_by=actor_of(request))
        waits = Q(state=RequestState.AWAITING)
        turn = Case(
            When(waits & ~own, then=Value(0)),
            When(waits, then=Value(1)),
            When(state=RequestState.RUNNING, then=Value(2)),
            default=Value(3),
            output_field=IntegerField(),
        )
        return RefundRequest.objects.annotate(turn=turn)

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["turn", "-created_at"]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons while there is something to decide."""
        waiting = RefundRequest.objects.filter(state=RequestState.AWAITING)
        if row_or_none(waiting, object_id) is None:
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"title": "Refund request", **(extra_context or {})}
        row = self.get_object(request, object_id)
        if row is not None and self.has_view_permission(request, row):
            context |= {"subtitle": row.public_id, "steps": steps_of(row), "goes_on": is_open(row)}
            amount = shown(row.amount_minor, row.currency)
            context |= {"amount": amount, "payment_url": _payment_url(row)}
        return super().change_view(request, object_id, form_url, context)

    @display(description="state", label=REQUEST_COLOURS, ordering="state")
    def state_label(self, row: RefundRequest) -> str:
        return str(row.state)

    @action(
        description="Agree",
        icon="check",
        variant=ActionVariant.PRIMARY,
        permissions=["approve"],
        dialog={
            "title": "Agree to this refund",
            "description": "The money moves at once. You may not agree to what you asked for.",
            "form_class": StepUpDialog,
        },
    )
    def approve(self, request: HttpRequest, form: StepUpDialog, object_id: str) -> HttpResponse:
        row = row_or_404(RefundRequest.objects.select_related("payment"), object_id)

        def deed() -> str:
            approve(request=row, person=cast(User, request.user), reason=form.reason, at=now())
            return f"{shown(row.amount_minor, row.currency)} is on its way back."

        return carry_out(request, form, deed, back=_page(row))

    @action(
        description="Reject or withdraw",
        icon="block",
        permissions=["reject"],
        dialog={
            "title": "Reject this refund",
            "description": "Nothing has moved, and nothing will. Your own request is withdrawn.",
            "form_class": ReasonDialog,
        },
    )
    def reject(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        row = row_or_404(RefundRequest.objects.select_related("payment"), object_id)

        def deed() -> str:
            reject(request=row, person=cast(User, request.user), reason=form.reason, at=now())
            return f"{row} is rejected: nothing moved."

        return carry_out(request, form, deed, back=_page(row))


def _page(row: RefundRequest) -> str:
    return reverse("admin:billing_refundrequest_change", args=[row.pk])


def _payment_url(row: RefundRequest) -> str:
    return reverse("admin:billing_payment_change", args=[row.payment_id])


class CapForm(forms.ModelForm):
    """An amount as people write it, kept in the currency's smallest unit."""

    amount = forms.CharField(max_length=AMOUNT_LENGTH, widget=UnfoldAdminTextInputWidget)
    minor_name = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            minor = getattr(self.instance, self.minor_name)
            self.initial["amount"] = typed(minor, self.instance.currency)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        currency = given.get("currency") or self.instance.currency
        if currency and "amount" in given:
            try:
                setattr(self.instance, self.minor_name, minor_of(given["amount"], currency))
            except NotAnAmount as problem:
                raise ValidationError({"amount": problem.message}) from problem
        return given

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).lower()


class LimitForm(CapForm):
    minor_name = "approval_above_minor"

    class Meta:
        model = RefundLimit
        fields = ("project", "currency")
        help_texts = {"currency": "Like usd. Without a limit every refund needs two people."}


class BudgetForm(CapForm):
    minor_name = "monthly_minor"

    class Meta:
        model = RefundBudget
        fields = ("project", "role", "currency")


@admin.register(RefundLimit)
class RefundLimitAdmin(AuditedAdmin):
    form = LimitForm
    fields = ("project", "currency", "amount")
    list_display = ("project", "currency", "above")
    list_select_related = ("project",)
    set_once = ("project", "currency")

    @admin.display(description="a second person above", ordering="approval_above_minor")
    def above(self, limit: RefundLimit) -> str:
        return shown(limit.approval_above_minor, limit.currency)


@admin.register(RefundBudget)
class RefundBudgetAdmin(AuditedAdmin):
    form = BudgetForm
    fields = ("project", "role", "currency", "amount")
    list_display = ("project", "role", "currency", "per_month", "used")
    list_select_related = ("project", "role")
    set_once = ("project", "role", "currency")

    @admin.display(description="per month", ordering="monthly_minor")
    def per_month(self, budget: RefundBudget) -> str:
        return shown(budget.monthly_minor, budget.currency)

    @admin.display(description="given this month")
    def used(self, budget: RefundBudget) -> str:
        use = budget.uses.filter(month=now().date().replace(day=1)).first()
        return shown(use.used_minor if use else 0, budget.currency)


@admin.register(Dispute)
class DisputeAdmin(SaleAdmin):
    list_display = (
        "stripe_dispute_id",
        "who",
        "amount",
        "status_word",
        "reason",
        "evidence_due_at",
        "created_at",
    )
    list_filter = ("project", "status", ("created_at", DayFilter))
    search_fields = ("public_id", "stripe_dispute_id", "payment__stripe_charge_id")
    ordering = ("-created_at",)

    @display(description="status", label=DISPUTE_COLOURS, ordering="status")
    def status_word(self, dispute: Dispute) -> str:
        return dispute.status


@admin.register(CreditNote)
class CreditNoteAdmin(SaleAdmin):
    list_display = ("number", "who", "invoice", "amount", "status_label", "reason", "created_at")
    list_filter = ("project", "status", ("created_at", DayFilter))
    list_select_related = ("consumer", "project", "invoice")
    search_fields = ("public_id", "number", "stripe_credit_note_id", "invoice__number")
    ordering = ("-created_at",)
    fields = (
        *("public_id", "project", "consumer", "invoice", "stripe_credit_note_id", "number"),
        *("status", "settle", "reason", "amount", "tax", "parts", "refund_request", "why"),
        *("memo", "problem", "pdf_url", "created_by", "operation", "created_at", "synced_at"),
    )
    actions_detail = ("void",)
    has_void_permission = holds("billing.issue_creditnote", "billing.view_creditnote")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only while it lowers what its invoice asks for."""
        note = row_or_none(CreditNote.objects.select_related("invoice"), object_id)
        fits = note is None or (note.status, note.invoice.status) == ("issued", "open")
        return super().get_actions_detail(request, object_id) if fits else []

    @admin.display(description="tax")
    def tax(self, note: CreditNote) -> str:
        return shown(note.tax_minor, note.currency)

    @admin.display(description="made up of")
    def parts(self, note: CreditNote) -> str:
        named = {
            "less due": note.due_minor,
            "refunded": note.refunded_minor,
            "to the balance": note.balance_minor,
            "given back outside": note.outside_minor,
        }
        return ", ".join(f"{shown(part, note.currency)} {n}" for n, part in named.items() if part)

    @action(
        description="Void",
        icon="block",
        permissions=["void"],
        dialog={
            "title": "Void this credit note",
            "description": "The invoice asks for its amount again. Only while the invoice is open.",
            "form_class": ReasonDialog,
        },
    )
    def void(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        rows = CreditNote.objects.select_related("project", "consumer", "invoice")
        note = row_or_404(rows, object_id)

        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                done = void_credit_note(
                    note=note, actor=actor_of(request), reason=form.reason, clock=now
                )
            if done.status == NoteStatus.VOID:
                return f"{done} is void: its invoice asks for the amount again."
            return "Stripe has not answered yet; it is looked after and happens once."

        return carry_out(
            request, form, deed, back=reverse("admin:billing_creditnote_change", args=[note.pk])
        )
