"""The drift inbox: what differs between Stripe and us, and between tables of ours."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action, display

from billing.models import Drift
from billing.reconciliation.drifts import ignore_drift
from billing.reconciliation.repair import want_repairs
from config.clock import now
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404, row_or_none

SEE_DRIFT = "billing.view_drift"
REPAIR = "billing.repair_drift"
DRIFT_COLOURS = {
    "open": "warning",
    "in line": "info",
    "repaired": "success",
    "gone": "success",
    "ignored": "",
    "failed": "danger",
}


def ignore_each(rows: QuerySet[Drift], request: HttpRequest, reason: str) -> int:
    """How many of the differences were open and are ignored now."""
    return sum(
        ignore_drift(drift=drift, actor=actor_of(request), reason=reason, at=now())
        for drift in rows.select_related("consumer", "project")
    )


@admin.register(Drift)
class DriftAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "kind",
        "who",
        "object_id",
        "field",
        "ours",
        "at_stripe",
        "state_label",
        "created_at",
    )
    list_filter = ("state", "kind", "project", ("created_at", DayFilter))
    list_select_related = ("consumer", "project", "run")
    list_fullwidth = True
    search_fields = ("public_id", "object_id", "stripe_customer_id", "run__public_id")
    search_help_text = "drift_ id, id of the object, cus_ id, rec_ id of the run"
    ordering = ("-pk",)
    fields = (
        "kind",
        "consumer",
        "object_id",
        "field",
        "ours",
        "at_stripe",
        "cause",
        "state_label",
        "note",
        "run",
        "stripe_customer_id",
        "repair_wanted_by",
        "repair_wanted_at",
        "settled_by",
        "settled_at",
        "created_at",
    )
    actions = ("repair_selected", "ignore_selected")
    actions_detail = ("repair", "ignore")
    has_repair_permission = holds(REPAIR, SEE_DRIFT)

    @display(description="Stripe's", ordering="stripes")
    def at_stripe(self, drift: Drift) -> str:
        return drift.stripes

    @display(description="state", label=DRIFT_COLOURS)
    def state_label(self, drift: Drift) -> str:
        waits = drift.state == "open" and drift.repair_wanted_at
        return "in line" if waits else drift.state

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons while there is something to decide."""
        undecided = Drift.objects.filter(state="open", repair_wanted_at=None)
        found = row_or_none(undecided, object_id)
        return super().get_actions_detail(request, object_id) if found else []

    @action(
        description="Repair",
        icon="build",
        permissions=["repair"],
        dialog={
            "title": "Repair this difference",
            "description": "Looks again, syncs the customer with Stripe, and looks once more.",
            "form_class": ReasonDialog,
        },
    )
    def repair(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        drift = row_or_404(Drift.objects.all(), object_id)

        def deed() -> str:
            rows = Drift.objects.filter(pk=drift.pk)
            done = want_repairs(drifts=rows, actor=actor_of(request), reason=form.reason, at=now())
            return f"{drift.public_id} is in line." if done else "It was settled before."

        return carry_out(request, form, deed, back=_page(drift))

    @action(
        description="Ignore",
        icon="visibility_off",
        permissions=["repair"],
        dialog={
            "title": "Let this difference be",
            "description": "It is reported again only when one of the two sides changes.",
            "form_class": ReasonDialog,
        },
    )
    def ignore(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        drift = row_or_404(Drift.objects.all(), object_id)

        def deed() -> str:
            done = ignore_each(Drift.objects.filter(pk=drift.pk), request, form.reason)
            return f"{drift.public_id} is ignored." if done else "It was settled before."

        return carry_out(request, form, deed, back=_page(drift))

    @admin.action(description="Repair the selected differences", permissions=["repair"])
    def repair_selected(self, request: HttpRequest, drifts: QuerySet[Drift]) -> HttpResponse | None:
        return self._with_reason(request, drifts, "repair_selected")

    @admin.action(description="Ignore the selected differences", permissions=["repair"])
    def ignore_selected(self, request: HttpRequest, drifts: QuerySet[Drift]) -> HttpResponse | None:
        return self._with_reason(request, drifts, "ignore_selected")

    def _with_reason(
        self, request: HttpRequest, drifts: QuerySet[Drift], act: str
    ) -> HttpResponse | None:
        """First asks for the reason on a page of its own, then does it."""
        reason = request.POST.get("deed_reason", "").strip()[:LONGEST_REASON]
        if not reason:
            return self._ask_reason(request, drifts, act)
        total = drifts.count()
        if act == "repair_selected":
            done = want_repairs(
                drifts=Drift.objects.filter(pk__in=list(drifts.values_list("pk", flat=True))),
                actor=actor_of(request),
                reason=reason,
                at=now(),
            )
            said = f"{done} of {total} differences are in line to be repaired."
        else:
            done = ignore_each(drifts.filter(state="open"), request, reason)
            said = f"{done} of {total} differences are ignored."
        self.message_user(request, said, messages.SUCCESS if done else messages.WARNING)
        return None

    def _ask_reason(self, request: HttpRequest, drifts: QuerySet[Drift], act: str) -> HttpResponse:
        repairs = act == "repair_selected"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Repair differences" if repairs else "Ignore differences",
            "drifts": drifts[:100],
            "number": drifts.count(),
            "act": act,
            "repairs": repairs,
            "select_across": request.POST.get("select_across", "0"),
            "asked_before": "deed_reason" in request.POST,
        }
        return TemplateResponse(request, "admin/reconciliation/reason.html", context)


def _page(drift: Drift) -> str:
    return reverse("admin:billing_drift_change", args=[drift.pk])
