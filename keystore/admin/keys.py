"""API keys: what is known of them, which is never their text."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from config.clock import now
from keystore.admin.key_acts import KeyActs
from keystore.admin.pages import ReadOnlyAdmin
from keystore.masking import masked_all
from keystore.models import ApiKey
from keystore.selectors import keys_looking_like

STATE_COLOURS = {
    "usable": "success",
    "not paid for": "warning",
    "disabled": "warning",
    "app switched off": "warning",
    "expired": "info",
    "replaced": "info",
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
    if key.replaced_at and key.is_usable(at):
        return "replaced"
    return "usable" if key.is_usable(at) else "app switched off"


@admin.register(ApiKey)
class ApiKeyAdmin(KeyActs, ReadOnlyAdmin):
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
        "named_limits",
        "allowed_cidrs",
        "expires_at",
        "disabled_at",
        "disabled_because",
        "unpaid_since",
        "revoked_at",
        "replaces",
        "replaced_at",
        "successor",
        "still_in_use",
        "provisioned_for",
        "metadata",
        "last_used_at",
        "created_at",
    )
    masked_names = {"who": "masked_who", "metadata": "masked_metadata"}

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

    @admin.display(description="replaced by")
    def successor(self, key: ApiKey) -> str:
        live = key.replaced_by.filter(revoked_at=None).first()
        if live is None:
            return "-"
        url = reverse("admin:keystore_apikey_change", args=[live.pk])
        return format_html('<a class="text-link" href="{}">{}</a>', url, live)

    @admin.display(description="still in use after it was replaced")
    def still_in_use(self, key: ApiKey) -> str:
        if key.replaced_at is None:
            return "-"
        return "yes" if key.is_used_since_replaced else "no"

    @admin.display(description="metadata")
    def masked_metadata(self, key: ApiKey) -> str:
        return json.dumps(masked_all(key.metadata), ensure_ascii=False)

    @display(description="state", label=STATE_COLOURS)
    def state(self, key: ApiKey) -> str:
        return state_of(key)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("digest")
