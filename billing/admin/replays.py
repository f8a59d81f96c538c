"""Replays of many events: how far they are, and what a dry run found."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from billing.models import ReplayRun, ReplayState
from billing.replays import is_looked_at, replay_looked_at, stop_replay
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404, row_or_none
from keystore.admin.personal import may_see
from keystore.masking import masked_in

COLOURS = {"running": "info", "done": "success", "stopped": "warning"}


@admin.register(ReplayRun)
class ReplayRunAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "kind", "state_label", "progress", "started_by", "created_at")
    list_filter = ("state", "dry_run")
    ordering = ("-pk",)
    fields = (
        "kind",
        "state_label",
        "progress",
        "type",
        "event_state",
        "failure",
        "since",
        "until",
        "refused",
        "started_by",
        "reason",
        "created_at",
        "finished_at",
    )
    change_form_before_template = "admin/inbox/run.html"
    actions_detail = ("replay_these", "stop")
    has_stop_permission = holds("billing.replay_inboxevent", "billing.view_replayrun")
    has_replay_permission = has_stop_permission

    @admin.display(description="kind")
    def kind(self, run: ReplayRun) -> str:
        return "dry run" if run.dry_run else "replay"

    @display(description="state", label=COLOURS)
    def state_label(self, run: ReplayRun) -> str:
        return run.state

    @admin.display(description="progress")
    def progress(self, run: ReplayRun) -> str:
        return f"{run.handled} of {run.total}"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        lines = run.report if run is not None else []
        if not may_see(request):
            lines = [{**line, "said": [masked_in(said) for said in line["said"]]} for line in lines]
        context = {**(extra_context or {}), "run": run, "lines": lines}
        page = super().change_view(request, object_id, form_url, context)
        if run is not None and run.state == ReplayState.RUNNING:
            page["Refresh"] = "2"  # the page follows the work until it ends
        return page

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Stop what runs; replay what a dry run has looked at to its end."""
        run = row_or_none(ReplayRun.objects.all(), object_id)
        wanted = ""
        if run is not None and run.state == ReplayState.RUNNING:
            wanted = "stop"
        elif run is not None and is_looked_at(run):
            wanted = "replay_these"
        offered = super().get_actions_detail(request, object_id)
        return [each for each in offered if wanted and each.action_name.endswith(wanted)]

    @action(
        description="Replay these now",
        icon="replay",
        variant=ActionVariant.PRIMARY,
        permissions=["replay"],
        dialog={
            "title": "Replay the events of this dry run",
            "description": "The same choice of events, and none that came since. Safe at any "
            "time: what they lead to is Stripe's state now.",
            "form_class": ReasonDialog,
        },
    )
    def replay_these(
        self, request: HttpRequest, form: ReasonDialog, object_id: str
    ) -> HttpResponse:
        looked = row_or_404(ReplayRun.objects.all(), object_id)
        back = [reverse("admin:billing_replayrun_change", args=[looked.pk])]

        def deed() -> str:
            run = replay_looked_at(
                looked=looked, reason=form.reason, actor=actor_of(request), at=now()
            )
            back[0] = reverse("admin:billing_replayrun_change", args=[run.pk])
            return f"{run.total} events are being replayed."

        answer = carry_out(request, form, deed, back=back[0])
        if "HX-Redirect" in answer.headers:
            answer.headers["HX-Redirect"] = back[0]
        return answer

    @action(
        description="Stop",
        permissions=["stop"],
        dialog={
            "title": "Stop this replay",
            "description": "What was replayed so far stays replayed.",
            "form_class": ReasonDialog,
        },
    )
    def stop(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        run = row_or_404(ReplayRun.objects.all(), object_id)

        def deed() -> str:
            stopped = stop_replay(run=run, reason=form.reason, actor=actor_of(request), at=now())
            return f"{run} is stopped." if stopped else f"{run} had ended before."

        return carry_out(request, form, deed, back=request.path.removesuffix("stop/") + "change/")
