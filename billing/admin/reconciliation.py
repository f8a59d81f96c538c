"""Comparisons with Stripe: started, watched, stopped, and what they found put right."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from billing.admin.drifts import REPAIR, SEE_DRIFT, ignore_each
from billing.models import Drift, DriftState, ReconciliationRun, RunMode
from billing.reconciliation.kinds import OWN, DriftKind
from billing.reconciliation.repair import want_repairs
from billing.reconciliation.runs import LONGEST_DAYS_BACK, UNFINISHED, start_run, stop_run
from billing.reconciliation.selectors import counts_by_kind, drifts_of
from billing.reconciliation.trust import SETTLING
from config.clock import now
from config.errors import DomainError
from keystore.admin import personal
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404, row_or_none
from keystore.models import Project

SEE = "billing.view_reconciliationrun"
START = "billing.start_reconciliationrun"
MOST_SHOWN = 500
RUN_COLOURS = {
    "waiting": "info",
    "running": "info",
    "done": "success",
    "failed": "danger",
    "stopped": "warning",
}
MODES = [(RunMode.DRY_RUN, "Only look"), (RunMode.REPAIR, "Repair the kinds chosen below")]


def kind_words(kind: str) -> str:
    return kind.replace("_", " ")


class StartDialog(ReasonDialog):
    """Looking comes first: repairing has to be chosen."""

    project = forms.ModelChoiceField(
        Project.objects.order_by("slug"),
        required=False,
        empty_label="All projects",
        widget=UnfoldAdminSelectWidget,
    )
    how = forms.ChoiceField(
        label="What to do", choices=MODES, initial=RunMode.DRY_RUN, widget=UnfoldAdminSelectWidget
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds to repair",
        choices=[(kind, kind_words(kind)) for kind in DriftKind.values],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    days_back = forms.IntegerField(
        label="Days of payments, refunds and invoices",
        help_text="Empty: all of them. Customers and subscriptions are always compared all.",
        min_value=1,
        max_value=LONGEST_DAYS_BACK,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["days_back"].initial = settings.RECONCILIATION_DAYS_BACK


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "reach",
        "mode",
        "state_label",
        "compared",
        "found",
        "repaired",
        "started_by",
        "created_at",
    )
    list_filter = ("state", "project", ("created_at", DayFilter))
    list_select_related = ("project",)
    ordering = ("-pk",)
    fields = (
        "reach",
        "mode",
        "repair_kinds",
        "days_back",
        "started_by",
        "created_at",
        "started_at",
        "finished_at",
        "reported_at",
    )
    change_form_outer_before_template = "admin/reconciliation/run.html"
    actions_list = ("start",)
    actions_detail = ("stop",)
    has_start_permission = holds(START, SEE)
    has_stop_permission = holds(START, SEE)

    class Media:
        js = ("latchkey/reconciliation.js",)

    @admin.display(description="project")
    def reach(self, run: ReconciliationRun) -> str:
        return str(run.project or "all projects")

    @display(description="state", label=RUN_COLOURS)
    def state_label(self, run: ReconciliationRun) -> str:
        return run.state

    def get_urls(self) -> list[URLPattern]:
        settle = path(
            "<path:object_id>/settle/",
            self.admin_site.admin_view(self.settle),
            name="billing_reconciliationrun_settle",
        )
        return [settle, *super().get_urls()]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The button to stop it, while there is something to stop."""
        under_way = ReconciliationRun.objects.filter(state__in=UNFINISHED)
        found = row_or_none(under_way, object_id)
        return super().get_actions_detail(request, object_id) if found else []

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {})}
        run = self.get_object(request, object_id)
        if run is not None and self.has_view_permission(request, run):
            context |= _page(run, request)
        return super().change_view(request, object_id, form_url, context)

    @action(
        description="Start a comparison",
        icon="compare_arrows",
        variant=ActionVariant.PRIMARY,
        permissions=["start"],
        dialog={
            "title": "Compare Stripe with what we have",
            "description": "Only looks, unless you choose otherwise. The queue does the work.",
            "form_class": StartDialog,
        },
    )
    def start(self, request: HttpRequest, form: StartDialog) -> HttpResponse:
        asked = form.cleaned_data
        back = [reverse("admin:billing_reconciliationrun_changelist")]

        def deed() -> str:
            run = start_run(
                project=asked["project"],
                mode=RunMode(asked["how"]),
                repair_kinds=asked["kinds"] if asked["how"] == RunMode.REPAIR else (),
                days_back=asked["days_back"],
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            back[0] = reverse("admin:billing_reconciliationrun_change", args=[run.pk])
            return f"{run.public_id} is started."

        answer = carry_out(request, form, deed, back=back[0])
        if "HX-Redirect" in answer.headers:
            answer.headers["HX-Redirect"] = back[0]
        return answer

    @action(
        description="Stop",
        icon="stop_circle",
        permissions=["stop"],
        dialog={
            "title": "Stop this comparison",
            "description": "What it found stays; repairs that have not begun are called off.",
            "form_class": ReasonDialog,
        },
    )
    def stop(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        run = row_or_404(ReconciliationRun.objects.all(), object_id)

        def deed() -> str:
            done = stop_run(run=run, actor=actor_of(request), reason=form.reason, at=now())
            return f"{run.public_id} is stopped." if done else f"{run.public_id} had ended before."

        back = reverse("admin:billing_reconciliationrun_change", args=[run.pk])
        return carry_out(request, form, deed, back=back)

    def settle(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Repair or ignore what was ticked, or repair all that is open."""
        if not request.user.has_perms((REPAIR, SEE_DRIFT, SEE)):
            raise PermissionDenied
        run = row_or_404(ReconciliationRun.objects.all(), object_id)
        if request.method == "POST":
            said, level = _settled(run, request)
            self.message_user(request, said, level)
        back = reverse("admin:billing_reconciliationrun_change", args=[run.pk])
        return HttpResponseRedirect(back)


def _settled(run: ReconciliationRun, request: HttpRequest) -> tuple[str, int]:
    """What was done with the differences that the form names."""
    rows = Drift.objects.filter(run=run)
    act, reason = request.POST.get("act", ""), request.POST.get("deed_reason", "")
    if act != "repair_all":
        chosen = [pk for pk in request.POST.getlist("drift") if pk.isdecimal() and len(pk) < 20]
        rows = rows.filter(pk__in=chosen)
        if not chosen:
            return "Nothing was ticked, so nothing was done.", messages.WARNING
    open_rows = rows.filter(state=DriftState.OPEN)
    total = rows.count() if act != "repair_all" else open_rows.count()
    try:
        if act == "ignore":
            done = ignore_each(open_rows, request, reason[:LONGEST_REASON])
            return f"{done} of {total} differences are ignored.", messages.SUCCESS
        done = want_repairs(
            drifts=rows, actor=actor_of(request), reason=reason[:LONGEST_REASON], at=now()
        )
    except DomainError as refusal:
        return refusal.message, messages.ERROR
    return f"{done} of {total} differences are in line to be repaired.", messages.SUCCESS


def _page(run: ReconciliationRun, request: HttpRequest) -> dict[str, Any]:
    rows = drifts_of(run=run)
    in_line = rows.filter(state=DriftState.OPEN, repair_wanted_at__isnull=False).count()
    counts = counts_by_kind(run=run)
    shown = list(rows[:MOST_SHOWN]) if request.user.has_perm(SEE_DRIFT) else []
    hide = not personal.may_see(request)
    return {
        "run": run,
        "run_colour": RUN_COLOURS[run.state],
        "goes_on": run.state in UNFINISHED or in_line > 0,
        "in_line": in_line,
        "left_out_since": run.started_at - SETTLING if run.started_at else None,
        "percent": min(100, run.compared * 100 // run.expected) if run.expected else 0,
        "groups": [
            (
                kind_words(kind),
                "Should be" if kind in OWN else "Stripe's",
                count,
                [_line(row, hide) for row in shown if row.kind == kind],
            )
            for kind, count in counts.items()
        ],
        "not_shown": max(0, sum(count.found for count in counts.values()) - len(shown)),
        "may_repair": request.user.has_perms((REPAIR, SEE_DRIFT, SEE))
        and any(count.open for count in counts.values()),
    }


def _line(drift: Drift, hide: bool) -> dict[str, Any]:
    consumer = drift.consumer
    return {
        "drift": drift,
        "who": personal.consumer_link(consumer, hide=hide) if consumer else "",
        "ours": drift.ours or "nothing",
        "stripes": drift.stripes or "nothing",
        "why": drift.note or drift.cause,
        "can_choose": drift.state == DriftState.OPEN and drift.repair_wanted_at is None,
        "state": "in line" if drift.state == "open" and drift.repair_wanted_at else drift.state,
    }
