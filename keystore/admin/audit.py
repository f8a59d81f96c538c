"""The audit trail: to read, to sift, and to take along as a file."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import FieldTextFilter

from config.clock import now
from keystore import audit
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of
from keystore.csvfile import csv_lines
from keystore.masking import masked_all, masked_in
from keystore.models import AuditEntry

EXPORT = "keystore.export_auditentry"
COLUMNS = (
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


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "act", "object_kind", "object_id", "actor", "masked_reason")
    list_filter = (
        ("created_at", DayFilter),
        ("actor", FieldTextFilter),
        ("act", FieldTextFilter),
        "object_kind",
        "project",
        ("consumer_id", FieldTextFilter),
        ("request_id", FieldTextFilter),
    )
    list_select_related = ("project",)
    list_before_template = "admin/audit/export.html"
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
        "changes",
        "reason",
        "request_id",
    )
    masked_names = {"changes": "masked_changes", "reason": "masked_reason"}

    @admin.display(description="what changed")
    def changes(self, entry: AuditEntry) -> str:
        return changes_as_table(entry.before, entry.after)

    @admin.display(description="what changed")
    def masked_changes(self, entry: AuditEntry) -> str:
        return changes_as_table(masked_all(entry.before), masked_all(entry.after))

    @admin.display(description="reason")
    def masked_reason(self, entry: AuditEntry) -> str:
        return masked_in(entry.reason)

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="keystore_auditentry_export"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_export": request.user.has_perm(EXPORT)}
        page: HttpResponse = super().changelist_view(request, context)
        return page

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The filtered list as CSV. That somebody took it along is on record, too."""
        if not (request.user.has_perm(EXPORT) and self.has_view_permission(request)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        at = now()
        found = self.get_changelist_instance(request).get_queryset(request)
        entries = found.filter(created_at__lte=at)
        record_export(request, number=entries.count())
        answer = StreamingHttpResponse(csv_lines(rows_of(entries)), content_type="text/csv")
        answer["Content-Disposition"] = f'attachment; filename="audit-{_name(at)}.csv"'
        answer["Cache-Control"] = "no-store"
        return answer


def record_export(request: HttpRequest, *, number: int) -> None:
    who: Any = request.user  # somebody with the permission, so never a stranger
    audit.record(
        actor=actor_of(request),
        act="audit.export",
        target=who,
        after={"filters": masked_all(request.GET.dict()), "entries": number},
    )


def rows_of(entries: QuerySet[AuditEntry]) -> Iterator[tuple[object, ...]]:
    """Heading and entries, persons masked: a file outlives every permission."""
    yield COLUMNS
    for entry in entries.iterator(chunk_size=1000):
        yield tuple(_cell(getattr(entry, column)) for column in COLUMNS)


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(masked_all(value), sort_keys=True, ensure_ascii=False)
    return masked_in(str(value)) if value is not None else ""


def changes_as_table(before: object, after: object) -> str:
    """Field by field what was and what is; a dash where there was nothing."""
    was, became = _fields(before), _fields(after)
    names = [*was, *(name for name in became if name not in was)]
    if not names:
        return "-"
    rows = ((name, _text(was.get(name)), _text(became.get(name))) for name in names)
    return format_html(
        '<table class="audit-changes"><thead><tr><th>field</th><th>before</th><th>after</th></tr>'
        "</thead><tbody>{}</tbody></table>",
        format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", rows),
    )


def _fields(value: object) -> dict[str, object]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"value": value}


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _name(at: datetime) -> str:
    return f"{at:%Y-%m-%d-%H%M%S}"
