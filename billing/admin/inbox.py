"""The webhook desk: what Stripe told us, what it led to, and working it off again."""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from billing import inbox_desk, missed, replays
from billing.admin.inbox_forms import RangeForm, SweepForm
from billing.admin.veil import veiled
from billing.inbox import NotReplayable, replay
from billing.models import InboxEvent
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.admin.personal import sees
from keystore.doorbell import ring
from keystore.masking import masked_all, masked_in

MOST_AT_ONCE = 100
TOO_MANY = f"More than {MOST_AT_ONCE} at once are replayed as a range: choose them here."
STATE_COLOURS = {"pending": "info", "done": "success", "ignored": "", "parked": "danger"}


class FailureFilter(admin.SimpleListFilter):
    """By what went wrong, without ids and numbers; only what went wrong is offered."""

    title = "failure"
    parameter_name = "failure"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        kinds = dict.fromkeys(group.failure for group in inbox_desk.failing_groups())
        asked = request.GET.get(self.parameter_name, "")
        return [(kind, kind) for kind in {**kinds, asked: None} if kind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(failure=self.value()) if self.value() else queryset


@admin.register(InboxEvent)
class InboxEventAdmin(ReadOnlyAdmin):
    list_display = (
        "event_id",
        "type",
        "state_label",
        "masked_note",
        "attempts",
        "received_at",
    )
    list_filter = ("state", "type", FailureFilter, ("received_at", DayFilter))
    list_before_template = "admin/inbox/groups.html"
    change_form_before_template = "admin/inbox/event.html"
    search_fields = ("event_id", "=object_id", "stripe_customer_id", "request_id")
    search_help_text = "evt_ id, cus_ id, id of the object, request id"
    ordering = ("-received_at", "-pk")
    list_fullwidth = True
    fields = (
        "event_id",
        "type",
        "state_label",
        "note",
        "last_error",
        "attempts",
        "deliveries",
        "next_attempt_at",
        "lease_until",
        "about",
        "stripe_customer_id",
        "account",
        "livemode",
        "stripe_created_at",
        "received_at",
        "finished_at",
        "request_id",
        "pretty_payload",
    )
    masked_names = {
        "pretty_payload": "hidden_payload",
        "note": "masked_note",
        "last_error": "masked_error",
    }
    actions = ("replay_selected",)
    actions_detail = ("replay_one",)
    has_replay_permission = holds("billing.replay_inboxevent", "billing.view_inboxevent")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("replay/", self._page(self.replay_range), name="billing_inboxevent_replay"),
            path("sweep/", self._page(self.sweep), name="billing_inboxevent_sweep"),
        ]
        return [*own, *super().get_urls()]

    def _page(self, view: Any) -> Any:
        return self.admin_site.admin_view(view)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        at = now()
        desk = {
            "groups": inbox_desk.failing_groups(),
            "parked": inbox_desk.failing_count(),
            "sweep": missed.latest_sweep(),
            "silence": missed.silence(at=at),
            "runs": replays.unfinished(),
            "may_replay": self.has_replay_permission(request),
        }
        page: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **desk})
        return page

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        event = self.get_object(request, object_id)
        shown = desk_of(event, request) if event is not None else {}
        context = {**(extra_context or {}), **shown}
        return super().change_view(request, object_id, form_url, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboxEvent]:
        rows: QuerySet[InboxEvent] = super().get_queryset(request)
        match = request.resolver_match
        on_list = match is not None and (match.url_name or "").endswith("_changelist")
        return rows.defer("payload") if on_list and request.method == "GET" else rows

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, event: InboxEvent) -> str:
        return event.state

    @admin.display(description="payload")
    def pretty_payload(self, event: InboxEvent) -> str:
        return pretty(event.payload)

    @admin.display(description="object id")
    def about(self, event: InboxEvent) -> str:
        return veiled(event.object_id)

    @admin.display(description="payload")
    def hidden_payload(self, event: InboxEvent) -> str:
        return pretty(masked_all(event.payload))

    @admin.display(description="note")
    def masked_note(self, event: InboxEvent) -> str:
        return masked_in(event.note)

    @admin.display(description="last error")
    def masked_error(self, event: InboxEvent) -> str:
        return masked_in(event.last_error)

    def replay_range(self, request: HttpRequest) -> HttpResponse:
        """Choose events by type, state, failure and time; look first, or replay them."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            form = RangeForm(initial={name: request.GET[name] for name in request.GET})
            return self._show(request, form, "Replay events", "admin/inbox/range.html")
        form = RangeForm(request.POST)
        if form.is_valid():
            try:
                run = replays.start_replay(
                    choice=form.choice(),
                    dry_run="dry_run" in request.POST,
                    reason=form.cleaned_data["deed_reason"],
                    actor=actor_of(request),
                    at=now(),
                )
                return redirect("admin:billing_replayrun_change", run.pk)
            except DomainError as refusal:
                form.add_error(None, refusal.message)
        return self._show(request, form, "Replay events", "admin/inbox/range.html")

    def sweep(self, request: HttpRequest) -> HttpResponse:
        """Read Stripe's own list of events again from some days ago on."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        form = SweepForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            return self._show(request, form, "Sweep Stripe's events", "admin/inbox/sweep.html")
        missed.sweep_again(
            days=form.cleaned_data["days"],
            reason=form.cleaned_data["deed_reason"],
            actor=actor_of(request),
            at=now(),
        )
        messages.success(request, "Stripe's list is being read. This page says how far it is.")
        return redirect("admin:billing_inboxevent_changelist")

    def _show(self, request: HttpRequest, form: Any, title: str, template: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "form": form,
            "sweep": missed.latest_sweep(),
        }
        return TemplateResponse(request, template, context)

    @action(
        description="Replay",
        icon="replay",
        permissions=["replay"],
        dialog={
            "title": "Replay this event",
            "description": "Safe at any time: what it leads to is Stripe's state now.",
            "form_class": ReasonDialog,
        },
    )
    def replay_one(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        event = row_or_404(InboxEvent.objects.all(), object_id)

        def deed() -> str:
            _replay(event, request, form.reason)
            return f"{event.event_id} waits to be worked off again."

        return carry_out(
            request, form, deed, back=request.path.removesuffix("replay_one/") + "change/"
        )

    @admin.action(description="Replay the selected events", permissions=["replay"])
    def replay_selected(
        self, request: HttpRequest, events: QuerySet[InboxEvent]
    ) -> HttpResponse | None:
        """First asks for the reason on a page of its own, then replays one by one; many of them,
        or a look at what would change, are a run of their own.
        """
        if "deed_reason" not in request.POST and events.count() > MOST_AT_ONCE:
            self.message_user(request, TOO_MANY, messages.WARNING)
            return redirect("admin:billing_inboxevent_replay")
        if "dry_run" in request.POST:
            return self._look_at(request, events)
        reason = request.POST.get("deed_reason", "").strip()[:LONGEST_REASON]
        if not reason:
            return self._ask_reason(request, events)
        wanted, refusals = list(events.order_by("pk")), []
        for event in wanted:
            try:
                _replay(event, request, reason)
            except NotReplayable as refusal:
                refusals.append(refusal.message)
        done = len(wanted) - len(refusals)
        level = messages.WARNING if refusals else messages.SUCCESS
        said = f"{done} of {len(wanted)} events wait to be worked off again."
        self.message_user(request, " ".join([said, *refusals[:10]]), level)
        return None

    def _look_at(self, request: HttpRequest, events: QuerySet[InboxEvent]) -> HttpResponse:
        run = replays.start_replay(
            choice=replays.Choice(event_ids=list(events.values_list("event_id", flat=True))),
            dry_run=True,
            reason=request.POST.get("deed_reason", "").strip()[:LONGEST_REASON],
            actor=actor_of(request),
            at=now(),
        )
        return redirect("admin:billing_replayrun_change", run.pk)

    def _ask_reason(self, request: HttpRequest, events: QuerySet[InboxEvent]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Replay events",
            "events": events.defer("payload")[:100],
            "number": events.count(),
            "select_across": request.POST.get("select_across", "0"),
            "asked_before": "deed_reason" in request.POST,
        }
        return TemplateResponse(request, "admin/inbox/replay.html", context)


@transaction.atomic
def _replay(event: InboxEvent, request: HttpRequest, reason: str) -> None:
    replay(event=event, actor=actor_of(request), reason=reason, at=now())
    transaction.on_commit(partial(ring, "billing.tasks.work_inbox"))


def pretty(payload: object) -> str:
    text = json.dumps(payload, indent=2, sort_keys=True, ensure_ascii=False)
    return format_html('<pre class="text-xs overflow-x-auto" tabindex="0">{}</pre>', veiled(text))


def desk_of(event: InboxEvent, request: HttpRequest) -> dict[str, Any]:
    """What the page of one event shows beside its fields."""
    found = inbox_desk.object_now(event)
    effects = inbox_desk.effects_of(event)
    may = request.user.has_perm
    hide = not sees(request, event)
    return {
        "tries": [
            {
                "at": one.at,
                "outcome": one.outcome,
                "said": masked_in(one.said) if hide else one.said,
            }
            for one in event.tries.order_by("pk")
        ],
        "effects": effects,
        "audit": [_link(row, row.act, may) for row in effects.audit],
        "operations": [_link(row, f"{row.kind}: {row.state}", may) for row in effects.operations],
        "hooks": [_link(row, row.kind, may) for row in effects.messages],
        "object_now": _link(found, inbox_desk.said_of(found), may) if found else None,
        "consumer": inbox_desk.consumer_of(event),
        "gone": "not at Stripe" in event.note or "Stripe has no" in event.note,
    }


def _link(row: Any, said: str, may: Any) -> dict[str, Any]:
    """A row as it is shown in a list: its address only for those who may open it."""
    options = row._meta
    allowed = may(f"{options.app_label}.view_{options.model_name}")
    name = f"admin:{options.app_label}_{options.model_name}_change"
    known = admin.site.is_registered(type(row))
    return {
        "url": reverse(name, args=[row.pk]) if allowed and known else "",
        "kind": str(options.verbose_name),
        "name": veiled(str(getattr(row, "object_id", "") or row)),
        "said": said,
        "at": getattr(row, "created_at", None) or getattr(row, "synced_at", None),
    }
