"""What was told, and how the telling went: messages, deliveries and their tries."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display

from config.clock import now
from config.errors import DomainError
from keystore import hooks
from keystore.admin import personal
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.models import DeliveryState, HookDelivery, OutboxMessage

STATE_COLOURS = {
    DeliveryState.PENDING: "info",
    DeliveryState.DELIVERED: "success",
    DeliveryState.FAILED: "danger",
    DeliveryState.DROPPED: "warning",
}
HIDDEN = "hidden: it may name a person"
MOST_TRIES = 50
LONGEST_SHOWN = 300


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "kind", "who", "told_to", "project", "created_at")
    list_filter = ("project", "kind", ("created_at", DayFilter))
    list_select_related = ("project", "consumer")
    search_fields = ("public_id", "=consumer__public_id", "=request_id")
    search_help_text = "msg_ id, con_ id, request id"
    ordering = ("-created_at", "-pk")
    fields = (
        "public_id",
        "kind",
        "consumer",
        "project",
        "told_to",
        "created_at",
        "request_id",
        "payload",
    )
    masked_names = {"who": "masked_who", "payload": "hidden_payload"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMessage]:
        rows: QuerySet[OutboxMessage] = super().get_queryset(request)
        return rows.prefetch_related(
            Prefetch("deliveries", HookDelivery.objects.select_related("endpoint"))
        )

    @admin.display(description="told to")
    def told_to(self, message: OutboxMessage) -> str:
        return format_html_join(
            ", ",
            '<a class="text-link" href="{}">{}</a> {}',
            (
                (
                    reverse("admin:keystore_hookdelivery_change", args=[one.pk]),
                    one.endpoint.url,
                    one.state,
                )
                for one in message.deliveries.all()
            ),
        )

    @admin.display(description="payload")
    def payload(self, message: OutboxMessage) -> str:
        return as_json(message.data)

    @admin.display(description="payload")
    def hidden_payload(self, message: OutboxMessage) -> str:
        return HIDDEN


@admin.register(HookDelivery)
class HookDeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "kind",
        "state_label",
        "who",
        "endpoint",
        "attempts",
        "last_status",
        "next_try",
        "created_at",
    )
    list_filter = ("state", "project", "endpoint", "message__kind", ("created_at", DayFilter))
    list_select_related = ("project", "endpoint", "message__consumer")
    search_fields = (
        "public_id",
        "message__public_id",
        "=message__consumer__public_id",
        "=message__request_id",
    )
    search_help_text = "dlv_ or msg_ id, con_ id, request id"
    ordering = ("-created_at", "-pk")
    list_fullwidth = True
    fields = (
        "public_id",
        "state_label",
        "kind",
        "message_link",
        "who",
        "endpoint",
        "attempts",
        "last_status",
        "last_error",
        "next_try",
        "lease_until",
        "finished_at",
        "created_at",
        "payload",
    )
    masked_names = {"who": "masked_who", "payload": "hidden_payload"}
    change_form_outer_after_template = "admin/hooks/tries.html"
    actions = ("redeliver_selected",)
    actions_detail = ("redeliver",)
    has_redeliver_permission = holds(
        "keystore.redeliver_hookdelivery", "keystore.view_hookdelivery"
    )

    @admin.display(description="kind", ordering="message__kind")
    def kind(self, delivery: HookDelivery) -> str:
        return delivery.message.kind

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, delivery: HookDelivery) -> str:
        return delivery.state

    @admin.display(description="next try", ordering="next_attempt_at")
    def next_try(self, delivery: HookDelivery) -> str | None:
        is_due = delivery.state == DeliveryState.PENDING and delivery.next_attempt_at
        return localize(delivery.next_attempt_at) if is_due else None

    @admin.display(description="consumer", ordering="message__consumer__external_id")
    def who(self, delivery: HookDelivery) -> str:
        return _who(delivery, hide=False)

    @admin.display(description="consumer", ordering="message__consumer__external_id")
    def masked_who(self, delivery: HookDelivery) -> str:
        return _who(delivery, hide=True)

    @admin.display(description="message")
    def message_link(self, delivery: HookDelivery) -> str:
        page = reverse("admin:keystore_outboxmessage_change", args=[delivery.message_id])
        return format_html(
            '<a class="text-link" href="{}">{}</a>', page, delivery.message.public_id
        )

    @admin.display(description="payload")
    def payload(self, delivery: HookDelivery) -> str:
        return as_json(delivery.message.data)

    @admin.display(description="payload")
    def hidden_payload(self, delivery: HookDelivery) -> str:
        return HIDDEN

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        delivery = self.get_object(request, object_id)
        context = {**(extra_context or {})}
        if delivery is not None and self.has_view_permission(request, delivery):
            context["tries"] = tries_of(delivery, hide=not personal.sees(request, delivery))
        return super().change_view(request, object_id, form_url, context)

    @action(
        description="Redeliver",
        icon="replay",
        permissions=["redeliver"],
        dialog={
            "title": "Redeliver this message",
            "description": "It goes again under the same id: receivers know it by that.",
            "form_class": ReasonDialog,
        },
    )
    def redeliver(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        delivery = row_or_404(HookDelivery.objects.select_related("endpoint"), object_id)

        def deed() -> str:
            _redeliver(delivery, request, form.reason)
            return f"{delivery.public_id} is on its way again."

        back = reverse("admin:keystore_hookdelivery_change", args=[object_id])
        return carry_out(request, form, deed, back=back)

    @admin.action(description="Redeliver the selected", permissions=["redeliver"])
    def redeliver_selected(
        self, request: HttpRequest, deliveries: QuerySet[HookDelivery]
    ) -> HttpResponse | None:
        """First asks for the reason on a page of its own, then redelivers one by one."""
        reason = request.POST.get("deed_reason", "").strip()[:LONGEST_REASON]
        if not reason:
            return self._ask_reason(request, deliveries)
        wanted, refusals = list(deliveries.order_by("pk")), []
        for delivery in wanted:
            try:
                _redeliver(delivery, request, reason)
            except DomainError as refusal:
                refusals.append(f"{delivery.public_id}: {refusal.message}")
        done = len(wanted) - len(refusals)
        level = messages.WARNING if refusals else messages.SUCCESS
        said = f"{done} of {len(wanted)} deliveries are on their way again."
        self.message_user(request, " ".join([said, *refusals[:10]]), level)
        return None

    def _ask_reason(self, request: HttpRequest, deliveries: QuerySet[HookDelivery]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Redeliver",
            "deliveries": deliveries[:100],
            "number": deliveries.count(),
            "select_across": request.POST.get("select_across", "0"),
            "asked_before": "deed_reason" in request.POST,
        }
        return TemplateResponse(request, "admin/hooks/redeliver.html", context)


def tries_of(delivery: HookDelivery, *, hide: bool) -> dict[str, Any]:
    """The table of tries, newest first. What receivers answer may name a person."""
    headers = ["Try", "When (UTC)", "Status", "Took", "Problem", "Answer began with"]
    rows = [
        (
            one.number,
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            one.status or "no answer",
            f"{one.milliseconds} ms",
            one.error,
            HIDDEN if hide and one.answer else one.answer[:LONGEST_SHOWN],
        )
        for one in delivery.tries.order_by("-number")[:MOST_TRIES]
    ]
    return {
        "headers": headers,
        "rows": [{"cells": list(zip(headers, row, strict=True))} for row in rows],
        "empty": "It has not been tried yet.",
    }


def as_json(data: object) -> str:
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    return format_html('<pre class="text-xs overflow-x-auto" tabindex="0">{}</pre>', text)


def _who(delivery: HookDelivery, *, hide: bool) -> str:
    consumer = delivery.consumer
    return personal.consumer_link(consumer, hide=hide) if consumer else "-"


def _redeliver(delivery: HookDelivery, request: HttpRequest, reason: str) -> None:
    hooks.redeliver(delivery=delivery, actor=actor_of(request), reason=reason, at=now())
