"""Hook endpoints: where projects are told, how that goes, and what staff do about it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from config.errors import DomainError
from keystore import hooks
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.hook_forms import AddEndpointDialog, EditEndpointDialog, RedeliverDialog
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.admin.stepup import StepUpDialog
from keystore.models import DeliveryState, HookEndpoint

SEE = "keystore.view_hookendpoint"
STATE_COLOURS = {"on": "success", "failing": "warning", "off": "danger"}


@admin.register(HookEndpoint)
class HookEndpointAdmin(ReadOnlyAdmin):
    list_display = ("url", "state", "project", "wanted", "waiting", "lost", "created_at")
    list_filter = ("project", ("disabled_at", admin.EmptyFieldListFilter))
    list_select_related = ("project",)
    search_fields = ("public_id", "url", "description")
    search_help_text = "hook_ id, part of the URL or the description"
    ordering = ("-pk",)
    fields = (
        "url",
        "state",
        "disabled_because",
        "deliveries_link",
        "wanted",
        "description",
        "project",
        "public_id",
        "previous_until",
        "failing_since",
        "held_until",
        "disabled_at",
        "created_at",
    )
    masked_names: dict[str, str] = {}  # nothing here names a person
    actions_list = ("add_endpoint",)
    actions_detail = (
        "send_test",
        "redeliver_failed",
        {
            "title": "Change",
            "icon": "edit",
            "items": ["edit", "roll", "switch_off", "switch_on"],
        },
    )
    has_make_permission = holds("keystore.add_hookendpoint", SEE)
    has_edit_permission = holds("keystore.change_hookendpoint", SEE)
    has_roll_permission = holds("keystore.roll_hookendpoint", SEE)
    has_redeliver_permission = holds("keystore.redeliver_hookdelivery", SEE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[HookEndpoint]:
        rows: QuerySet[HookEndpoint] = super().get_queryset(request)
        return rows.defer("sealed_secret", "sealed_previous_secret").annotate(
            pending=Count("deliveries", filter=Q(deliveries__state=DeliveryState.PENDING)),
            failed=Count("deliveries", filter=Q(deliveries__state=DeliveryState.FAILED)),
        )

    @display(description="state", label=STATE_COLOURS)
    def state(self, endpoint: HookEndpoint) -> str:
        if endpoint.disabled_at:
            return "off"
        return "failing" if endpoint.failing_since else "on"

    @admin.display(description="kinds")
    def wanted(self, endpoint: HookEndpoint) -> str:
        return ", ".join(endpoint.kinds) or "everything"

    @admin.display(description="waiting")
    def waiting(self, endpoint: Any) -> int:
        return int(endpoint.pending)

    @admin.display(description="failed")
    def lost(self, endpoint: Any) -> int:
        return int(endpoint.failed)

    @admin.display(description="deliveries")
    def deliveries_link(self, endpoint: Any) -> str:
        page = reverse("admin:keystore_hookdelivery_changelist")
        return format_html(
            '<a class="text-link" href="{}?endpoint__id__exact={}">{} waiting, {} failed</a>',
            page,
            endpoint.pk,
            endpoint.pending,
            endpoint.failed,
        )

    @action(
        description="Add an endpoint",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["make"],
        dialog={
            "title": "Add a hook endpoint",
            "description": "Its signing secret is shown once, right after this.",
            "form_class": AddEndpointDialog,
        },
    )
    def add_endpoint(self, request: HttpRequest, form: AddEndpointDialog) -> HttpResponse:
        return show_secret(
            request,
            form,
            lambda: hooks.make_endpoint(
                project=form.cleaned_data["project"],
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
                **form.terms,
            ),
        )

    @action(
        description="Edit",
        permissions=["edit"],
        dialog={
            "title": "Edit this endpoint",
            "description": "What waits goes to the new address.",
            "form_class": EditEndpointDialog,
        },
    )
    def edit(self, request: HttpRequest, form: EditEndpointDialog, object_id: str) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)

        def deed() -> str:
            done = hooks.change_endpoint(
                endpoint=endpoint, actor=actor_of(request), reason=form.reason, **form.terms
            )
            return "The endpoint was changed." if done else "Nothing differed: nothing changed."

        return carry_out(request, form, deed, back=page_of(object_id))

    @action(
        description="Roll the secret",
        permissions=["roll"],
        dialog={
            "title": "Roll the signing secret",
            "description": "The new one is shown once. For 24 hours both sign.",
            "form_class": StepUpDialog,
        },
    )
    def roll(self, request: HttpRequest, form: StepUpDialog, object_id: str) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)
        return show_secret(
            request,
            form,
            lambda: hooks.roll_secret(
                endpoint=endpoint, actor=actor_of(request), reason=form.reason, at=now()
            ),
        )

    @action(
        description="Switch off",
        permissions=["edit"],
        dialog={
            "title": "Switch this endpoint off",
            "description": "It is told nothing more. What was on its way is dropped; once the "
            "endpoint is on again it can be redelivered.",
            "form_class": ReasonDialog,
        },
    )
    def switch_off(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)

        def deed() -> str:
            done = hooks.disable_endpoint(
                endpoint=endpoint, actor=actor_of(request), reason=form.reason, at=now()
            )
            return "The endpoint is off." if done else "It was off before: nothing changed."

        return carry_out(request, form, deed, back=page_of(object_id))

    @action(
        description="Switch on",
        permissions=["edit"],
        dialog={
            "title": "Switch this endpoint on",
            "description": "It is told of what happens from now on.",
            "form_class": ReasonDialog,
        },
    )
    def switch_on(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)

        def deed() -> str:
            done = hooks.enable_endpoint(
                endpoint=endpoint, actor=actor_of(request), reason=form.reason
            )
            return "The endpoint is on." if done else "It was on before: nothing changed."

        return carry_out(request, form, deed, back=page_of(object_id))

    @action(
        description="Send a test",
        icon="send",
        permissions=["redeliver"],
        dialog={
            "title": "Send a test message",
            "description": "A message of the kind test, to this endpoint alone.",
            "form_class": ReasonDialog,
        },
    )
    def send_test(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)

        def deed() -> str:
            sent = hooks.send_test(
                endpoint=endpoint, actor=actor_of(request), reason=form.reason, at=now()
            )
            return f"A test is on its way: {sent.public_id}."

        return carry_out(request, form, deed, back=page_of(object_id))

    @action(
        description="Redeliver what failed",
        icon="replay",
        permissions=["redeliver"],
        dialog={
            "title": "Redeliver what failed",
            "description": "Each goes again under its own id, with ten tries.",
            "form_class": RedeliverDialog,
        },
    )
    def redeliver_failed(
        self, request: HttpRequest, form: RedeliverDialog, object_id: str
    ) -> HttpResponse:
        endpoint = endpoint_or_404(object_id)

        def deed() -> str:
            number = hooks.redeliver_failed(
                endpoint=endpoint,
                since=form.cleaned_data["since"],
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            return f"Deliveries that begin again: {number}."

        return carry_out(request, form, deed, back=page_of(object_id))


def endpoint_or_404(object_id: str) -> HookEndpoint:
    found: HookEndpoint = row_or_404(HookEndpoint.objects.select_related("project"), object_id)
    return found


def page_of(object_id: str) -> str:
    return reverse("admin:keystore_hookendpoint_change", args=[object_id])


def show_secret(
    request: HttpRequest, form: ReasonDialog, deed: Callable[[], hooks.MadeEndpoint]
) -> HttpResponse:
    """The only answer that ever holds the secret; it takes the place of the whole dialog."""
    try:
        made = deed()
    except DomainError as refusal:
        form.add_error("deed_reason", refusal.message)
        return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
    link = page_of(str(made.endpoint.pk))
    response = render(request, "admin/hooks/secret.html", {"made": made, "link": link})
    add_never_cache_headers(response)
    response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
    return response
