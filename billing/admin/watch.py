"""The promises, green and red: what breaks them, since when, and what to do."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.views.decorators.http import require_POST

from billing.invariants import CHECKS, check_all
from billing.models import InvariantCheck
from config.clock import now
from keystore.admin.pages import ReadOnlyAdmin, holds
from keystore.admin.personal import may_see
from keystore.masking import masked_in


@admin.register(InvariantCheck)
class InvariantCheckAdmin(ReadOnlyAdmin):
    has_run_permission = holds("billing.run_invariantcheck")

    def get_urls(self) -> list[URLPattern]:
        check = self.admin_site.admin_view(require_POST(self.check_now))
        own = [path("check/", check, name="billing_invariantcheck_check")]
        return [*own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = {row.code: row for row in InvariantCheck.objects.all()}
        promises = [_shown(check, rows.get(check.code), request) for check in CHECKS]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Promises",
            "promises": sorted(promises, key=lambda one: not one["broken"]),
            "broken": sum(one["broken"] for one in promises),
            "checked_at": max((row.checked_at for row in rows.values()), default=None),
            "may_check": self.has_run_permission(request),
        }
        return TemplateResponse(request, "admin/watch/promises.html", context)

    def check_now(self, request: HttpRequest) -> HttpResponse:
        if not self.has_run_permission(request):
            raise PermissionDenied
        broken = sum(row.violations > 0 for row in check_all(at=now()))
        if broken:
            messages.warning(request, f"{broken} of {len(CHECKS)} promises are broken.")
        else:
            messages.success(request, f"All {len(CHECKS)} promises hold.")
        return redirect("admin:billing_invariantcheck_changelist")


def _shown(check: Any, row: InvariantCheck | None, request: HttpRequest) -> dict[str, Any]:
    hide = not may_see(request)
    return {
        "check": check,
        "row": row,
        "broken": bool(row and row.violations),
        "examples": [
            {
                "object": masked_in(example["object"]) if hide else example["object"],
                "detail": masked_in(example["detail"]) if hide else example["detail"],
                "url": _url(example, request),
            }
            for example in (row.examples if row else [])
        ],
    }


def _url(example: dict[str, str], request: HttpRequest) -> str:
    """The page of the row that breaks the promise, for those who may open it."""
    app, _, model = example["model"].partition(".")
    if not model or not request.user.has_perm(f"{app}.view_{model}"):
        return ""
    try:
        if not example["pk"]:
            return reverse(f"admin:{app}_{model}_changelist")
        return reverse(f"admin:{app}_{model}_change", args=[example["pk"]])
    except NoReverseMatch:
        return ""
