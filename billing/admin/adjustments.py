"""Changes of creators' balances by hand, and the second person's buttons."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from billing.market.adjustments import AGREE, ASK, approve_adjustment, reject_adjustment
from billing.models import Adjustment, AdjustmentState
from billing.money import shown
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, holds, person_of, row_or_404, row_or_none
from keystore.admin.stepup import StepUpDialog

SEE = "billing.view_adjustment"
COLOURS = {"awaiting": "warning", "done": "success", "rejected": "danger", "expired": "danger"}


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = (
        *("public_id", "creator", "amount", "state_label"),
        *("requested_by", "decided_by", "expires_at", "created_at"),
    )
    list_filter = ("project", "state", ("created_at", DayFilter))
    list_select_related = ("creator", "project")
    search_fields = ("public_id", "creator__public_id", "requested_by")
    ordering = ("-pk",)
    fields = (
        *("creator", "project", "amount", "state_label", "reason", "requested_by", "created_at"),
        *("expires_at", "decided_by", "decided_at", "decision_reason", "earning"),
    )
    actions_detail = ("approve", "reject")
    has_approve_permission = holds(AGREE, SEE)
    has_reject_permission = holds(ASK, SEE)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons while there is something to decide."""
        waiting = Adjustment.objects.filter(state=AdjustmentState.AWAITING)
        if row_or_none(waiting, object_id) is None:
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found

    @admin.display(description="amount")
    def amount(self, row: Adjustment) -> str:
        return shown(row.amount_minor, row.currency)

    @display(description="state", label=COLOURS, ordering="state")
    def state_label(self, row: Adjustment) -> str:
        return row.state

    @action(
        description="Agree",
        icon="check",
        variant=ActionVariant.PRIMARY,
        permissions=["approve"],
        dialog={
            "title": "Agree to this adjustment",
            "description": "The balance changes at once. You may not agree to what you asked for.",
            "form_class": StepUpDialog,
        },
    )
    def approve(self, request: HttpRequest, form: StepUpDialog, object_id: str) -> HttpResponse:
        row = row_or_404(Adjustment.objects.all(), object_id)

        def deed() -> str:
            done = approve_adjustment(
                adjustment=row, person=person_of(request), reason=form.reason, at=now()
            )
            return f"{shown(row.amount_minor, row.currency)} is on the ledger as {done.earning}."

        return carry_out(request, form, deed, back=_page(row))

    @action(
        description="Reject or withdraw",
        icon="block",
        permissions=["reject"],
        dialog={
            "title": "Reject this adjustment",
            "description": "The balance stays as it is. Your own wish is withdrawn.",
            "form_class": ReasonDialog,
        },
    )
    def reject(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        row = row_or_404(Adjustment.objects.all(), object_id)

        def deed() -> str:
            reject_adjustment(
                adjustment=row, person=person_of(request), reason=form.reason, at=now()
            )
            return f"{row} is rejected: the balance stays."

        return carry_out(request, form, deed, back=_page(row))


def _page(row: Adjustment) -> str:
    return reverse("admin:billing_adjustment_change", args=[row.pk])
