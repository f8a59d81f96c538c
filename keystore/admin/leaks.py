"""Keys that were found in public."""

from django.contrib import admin

from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin
from keystore.models import KeyLeak


@admin.register(KeyLeak)
class KeyLeakAdmin(ReadOnlyAdmin):
    list_display = ("key", "project", "url", "source", "revoked", "found_at", "mailed_at")
    list_filter = ("project", "revoked", ("found_at", DayFilter))
    list_select_related = ("key", "project")
    search_fields = ("=key__public_id", "key__prefix", "url")
    search_help_text = "key_ id, start of the key, address"
    ordering = ("-found_at", "-pk")
    fields = ("key", "project", "url", "source", "revoked", "found_at", "mailed_at")
