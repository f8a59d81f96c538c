"""API keys: what is known of them, which is never their text, and the one act: revoke."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.masking import masked_all
from keystore.models import ApiKey
from keystore.selectors import keys_looking_like
from keystore.services import revoke_key

STATE_COLOURS = {
    "usable": "success",
    "not paid for": "warning",
    "disabled": "warning",
    "app switched off": "warning",
    "expired": "info",
    "revoked": "danger",
}


def state_of(key: ApiKey) -> str:
    """In one word why a key works or does not work now."""
    at = now()
    if key.revoked_at:
        return "revoked"
    if key.has_expired(at):
        return "expired"
    if key.disabled_at:
        return "not paid for" if key.disabled_because == "payment" else "disabled"
    return "usable" if key.is_usable(at) else "app switched off"


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "state", "who", "app", "api", "environment", "name", "last_used_at")
    list_filter = (
        "project",
        "environment",
        "disabled_because",
        ("revoked_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("consumer", "app", "api", "project")
    search_fields = ("public_id", "prefix", "consumer__public_id", "consumer__external_id")
    search_help_text = "the key or its start, key_ id, consumer"
    fields = (
        "public_id",
        "visible_text",
        "state",
        "project",
        "consumer",
        "app",
        "api",
        "environment",
        "name",
        "scopes",
        "plan_limit_per_minute",
        "own_limit_per_minute",
        "own_burst",
        "allowed_cidrs",
        "expires_at",
        "disabled_at",
        "disabled_because",
        "revoked_at",
        "provisioned_for",
        "metadata",
        "last_used_at",
        "created_at",
    )
    masked_names = {"who": "masked_who", "metadata": "masked_metadata"}
    actions_detail = ("revoke",)
    has_revoke_permission = holds("keystore.revoke_apikey", "keystore.view_apikey")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        looking_like = keys_looking_like(text=search_term.strip())
        if search_term and looking_like.exists():
            return queryset.filter(pk__in=looking_like.values("pk")), False
        found: tuple[QuerySet[ApiKey], bool]
        found = super().get_search_results(request, queryset, search_term)
        return found

    @admin.display(description="key")
    def visible_text(self, key: ApiKey) -> str:
        return str(key)

    @admin.display(description="metadata")
    def masked_metadata(self, key: ApiKey) -> str:
        return json.dumps(masked_all(key.metadata), ensure_ascii=False)

    @display(description="state", label=STATE_COLOURS)
    def state(self, key: ApiKey) -> str:
        return state_of(key)

    @action(
        description="Revoke",
        icon="key_off",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={
            "title": "Revoke this key",
            "description": "Whoever holds it is refused from now on. This cannot be undone.",
            "form_class": ReasonDialog,
        },
    )
    def revoke(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        key = row_or_404(ApiKey.objects.select_related("consumer"), object_id)

        def deed() -> str:
            done = revoke_key(key=key, actor=actor_of(request), reason=form.reason, at=now())
            return f"{key} is revoked." if done else f"{key} was revoked before: nothing changed."

        return carry_out(request, form, deed, back=request.path.removesuffix("revoke/") + "change/")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("digest")
