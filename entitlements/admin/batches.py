"""Grants for many at once: from a file or a selection, looked at first, then given."""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from config.errors import DomainError
from entitlements.admin.batch_forms import FileForm, SelectionForm
from entitlements.admin.give import ENDLESS
from entitlements.batch_file import COLUMNS, MOST_LINES, AskedLine, safe_cell
from entitlements.batches import (
    discard_batch,
    progress_of,
    read_batch,
    start_batch,
    stop_batch,
)
from entitlements.models import GrantBatch, GrantBatchLine, LineState
from keystore.admin import personal
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.models import Consumer, Project

GIVE_MANY = "entitlements.give_many_grants"
SEE = "entitlements.view_grantbatch"
LINES_PER_PAGE = 50
STATE_COLOURS = {
    "preview": "info",
    "running": "warning",
    "stopped": "danger",
    "done": "success",
    "discarded": "",
}


class Echo:
    """A file for csv.writer that hands each line on."""

    def write(self, text: str) -> str:
        return text


@admin.register(GrantBatch)
class GrantBatchAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "state_label",
        "project",
        "reason",
        "ticket",
        "started_by",
        "created_at",
        "finished_at",
    )
    list_filter = ("project", "state")
    list_select_related = ("project",)
    search_fields = ("public_id", "ticket", "started_by")
    search_help_text = "batch_ id, ticket, who"
    ordering = ("-pk",)
    actions_list = ("give_many",)
    has_give_many_permission = holds(GIVE_MANY, SEE)

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, batch: GrantBatch) -> str:
        return batch.state

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/act/", wrap(self.act), name="entitlements_grantbatch_act"),
            path("<int:pk>/report/", wrap(self.report), name="entitlements_grantbatch_report"),
        ]
        return [*own, *super().get_urls()]

    @action(
        description="Give many grants",
        icon="playlist_add",
        variant=ActionVariant.PRIMARY,
        permissions=["give_many"],
        url_path="new",
    )
    def give_many(self, request: HttpRequest) -> HttpResponse:
        """A page that takes the lines; what it leads to is a preview."""
        form = FileForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            asked = form.cleaned_data
            return keep_lines(request, asked["project"], asked["lines"], asked)
        context = {"form": form, "title": "Give many grants", "upload": True}
        return self._page(request, "admin/batch/new.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What would be given or was given, and the buttons that fit."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = row_or_404(GrantBatch.objects.select_related("project"), object_id)
        state = request.GET.get("lines", "")
        lines = batch.lines.select_related("grant", "consumer").order_by("number")
        chosen = lines.filter(state=state) if state in LineState.values else lines
        page = Paginator(chosen, LINES_PER_PAGE).get_page(request.GET.get("page"))
        hide = not _wrote_it(request, batch)
        progress = progress_of(batch=batch)
        context = {
            "batch": batch,
            "title": f"Batch {batch.public_id}",
            "progress": progress,
            "percent": 100 * progress.worked // max(progress.wanted, 1),
            "states": [(one, getattr(progress, one)) for one in LineState.values],
            "chosen": state,
            "page": page,
            "rows": [(line, _shown(line, hide=hide)) for line in page],
            "may_act": self.has_give_many_permission(request),
            "columns": COLUMNS,
        }
        return self._page(request, "admin/batch/batch.html", context)

    def act(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start, stop or discard."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_give_many_permission(request):
            raise PermissionDenied
        batch = row_or_404(GrantBatch.objects.all(), str(pk))
        try:
            messages.success(request, _carry_out(request, batch))
        except DomainError as refusal:
            messages.error(request, refusal.message)
        return HttpResponseRedirect(batch_url(batch))

    def report(self, request: HttpRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
        """Every line with what became of it, as CSV that no spreadsheet takes for formulas."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = row_or_404(GrantBatch.objects.all(), str(pk))
        rows = _report(batch, hide=not _wrote_it(request, batch))
        response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{batch.public_id}.csv"'
        return response

    def _page(self, request: HttpRequest, template: str, more: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **more}
        return TemplateResponse(request, template, context)


@admin.action(description="Give a grant to the selected", permissions=["give_many"])
def give_to_selected(
    page: Any, request: HttpRequest, consumers: QuerySet[Consumer]
) -> HttpResponse | None:
    """First asks what to give on a page of its own; what that leads to is a preview."""
    chosen = list(consumers.select_related("project").order_by("pk")[: MOST_LINES + 1])
    if len(chosen) > MOST_LINES:
        messages.error(request, f"At most {MOST_LINES:,} consumers at once: choose fewer.")
        return None
    if len({one.project_id for one in chosen}) > 1:
        messages.error(request, "These are consumers of several projects: choose those of one.")
        return None
    project = chosen[0].project
    asked_before = "what" in request.POST
    form = SelectionForm(request, project, request.POST if asked_before else None)
    if asked_before and form.is_valid():
        return keep_lines(request, project, form.lines(chosen), form.cleaned_data)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"Give a grant to {len(chosen):,} consumers",
        "form": form,
        "selected": request.POST.getlist("_selected_action"),
        "select_across": request.POST.get("select_across", "0"),
        "action": request.POST.get("action", ""),
    }
    return TemplateResponse(request, "admin/batch/new.html", context)


def keep_lines(
    request: HttpRequest, project: Project, lines: list[AskedLine], asked: dict[str, Any]
) -> HttpResponse:
    """Keep the lines as a preview and lead to it."""
    batch = read_batch(
        project=project,
        lines=lines,
        reason=asked["deed_reason"],
        ticket=asked["ticket"],
        actor=actor_of(request),
        may_be_endless=request.user.has_perm(ENDLESS),
        with_email=personal.may_see(request),
        at=now(),
    )
    return HttpResponseRedirect(batch_url(batch))


def batch_url(batch: GrantBatch) -> str:
    return reverse("admin:entitlements_grantbatch_change", args=[batch.pk])


def _carry_out(request: HttpRequest, batch: GrantBatch) -> str:
    wanted, actor, at = request.POST.get("act"), actor_of(request), now()
    if wanted == "start":
        start_batch(
            batch=batch,
            good_ones_only="good_ones_only" in request.POST,
            may_be_endless=request.user.has_perm(ENDLESS),
            actor=actor,
            at=at,
        )
        return "The grants are being given: this page shows how far it is."
    if wanted == "stop":
        done = stop_batch(batch=batch, actor=actor, at=at)
        return "Stopped. What was given stays." if done else "It was not running."
    done = wanted == "discard" and discard_batch(batch=batch, actor=actor, at=at)
    return "Put aside: nothing was given." if done else "Nothing changed."


def _shown(line: GrantBatchLine, *, hide: bool) -> list[str]:
    """The line's cells in the order of the columns."""
    cells = [str(line.asked.get(name, "")) for name in COLUMNS]
    return [personal.masked(cells[0]) if hide else cells[0], *cells[1:]]


def _wrote_it(request: HttpRequest, batch: GrantBatch) -> bool:
    """Who brought the list has its addresses anyway; to others it is masked like every list."""
    return personal.may_see(request) and batch.started_by == actor_of(request)


def _report(batch: GrantBatch, *, hide: bool) -> Iterator[str]:
    writer: Any = csv.writer(Echo())
    yield writer.writerow(["line", *COLUMNS, "state", "problem", "grant"])
    lines = batch.lines.select_related("grant").order_by("number")
    for line in lines.iterator(chunk_size=1000):
        grant = line.grant.public_id if line.grant else ""
        cells = [line.number, *_shown(line, hide=hide), line.state, line.problem, grant]
        yield writer.writerow([safe_cell(cell) for cell in cells])
