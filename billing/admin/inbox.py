"""The webhook desk: what Stripe told us, what it led to, and working it off again."""

import json
from functools import partial

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.decorators import action, display

from billing.admin.veil import veiled
from billing.inbox import NotReplayable, replay
from billing.models import InboxEvent
from config.clock import now
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.doorbell import ring
from keystore.masking import masked_in

STATE_COLOURS = {"pending": "info", "done": "success", "ignored": "", "parked": "danger"}


@admin.register(InboxEvent)
class InboxEventAdmin(ReadOnlyAdmin):
    list_display = (
        "event_id",
        "type",
        "state_label",
        "masked_note",
        "attempts",
        "deliveries",
        "received_at",
    )
    list_filter = ("state", "type", ("received_at", DayFilter))
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
        text = json.dumps(event.payload, indent=2, sort_keys=True, ensure_ascii=False)
        return format_html(
            '<pre class="text-xs overflow-x-auto" tabindex="0">{}</pre>', veiled(text)
        )

    @admin.display(description="object id")
    def about(self, event: InboxEvent) -> str:
        return veiled(event.object_id)

    @admin.display(description="payload")
    def hidden_payload(self, event: InboxEvent) -> str:
        return "hidden: it may name a person"

    @admin.display(description="note")
    def masked_note(self, event: InboxEvent) -> str:
        return masked_in(event.note)

    @admin.display(description="last error")
    def masked_error(self, event: InboxEvent) -> str:
        return masked_in(event.last_error)

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
        """First asks for the reason on a page of its own, then replays one by one."""
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
