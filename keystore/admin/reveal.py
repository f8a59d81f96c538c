"""Seeing the person behind a row: asked for, on record, for a quarter of an hour."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from keystore import audit
from keystore.admin.dialogs import LONGEST_REASON
from keystore.admin.pages import actor_of
from keystore.admin.personal import may_see, remember_revealed
from keystore.models import AuditEntry, Consumer


@require_POST
def reveal(request: HttpRequest, label: str, pk: str) -> HttpResponse:
    """Show the person on the row's page, and wherever else on pages about them."""
    row = _row_that_may_be_seen(request, label, pk)
    if not may_see(request):
        raise PermissionDenied
    record_reveal(row=row, actor=actor_of(request), reason=request.POST.get("deed_reason", ""))
    remember_revealed(request, row)
    return redirect(reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk]))


@transaction.atomic
def record_reveal(*, row: Any, actor: str, reason: str) -> None:
    consumer = row if isinstance(row, Consumer) else getattr(row, "consumer", None)
    if isinstance(row, AuditEntry):
        consumer = Consumer.objects.filter(public_id=row.consumer_id).first()
    audit.record(
        actor=actor,
        act="personal_data.reveal",
        target=row,
        consumer=consumer,
        reason=reason.strip()[:LONGEST_REASON],
    )


def _row_that_may_be_seen(request: HttpRequest, label: str, pk: str) -> Any:
    """The row, for whoever may open its page in the admin."""
    pages = {page.opts.label_lower: page for page in admin.site._registry.values()}
    page = pages.get(label)
    if page is None or not admin.site.has_permission(request):
        raise Http404("There is no such page.")
    if not page.has_view_permission(request):
        raise PermissionDenied
    row = page.get_object(request, pk)
    if row is None:
        raise Http404(f"There is no {page.opts.verbose_name} {pk}.")
    return row
