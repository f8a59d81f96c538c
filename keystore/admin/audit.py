"""The audit trail, to read."""

from django.contrib import admin

from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin
from keystore.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "act", "object_kind", "object_id", "actor", "reason")
    list_filter = ("project", "object_kind", ("created_at", DayFilter))
    list_select_related = ("project",)
    search_fields = ("actor", "act", "object_id", "consumer_id", "request_id")
    search_help_text = "actor, act, id of an object or consumer, request id"
    ordering = ("-created_at", "-pk")
    fields = (
        "created_at",
        "actor",
        "act",
        "object_kind",
        "object_id",
        "project",
        "consumer_id",
        "before",
        "after",
        "reason",
        "request_id",
    )
