"""The periodic jobs: what ran when, how it ended, and what did not run."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from config.clock import now
from keystore import jobs
from keystore.admin.pages import ReadOnlyAdmin
from keystore.models import JobRun


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        schedule, at = settings.JOB_SCHEDULE, now()
        late = {job.name for job in jobs.overdue(at=at, schedule=schedule)}
        rows = {row.name: row for row in JobRun.objects.all()}
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Jobs",
            "jobs": [
                {
                    "name": name,
                    "every": every(seconds),
                    "row": rows.get(name),
                    "late": name in late,
                }
                for name, seconds in schedule.items()
            ],
            "late": len(late),
        }
        return TemplateResponse(request, "admin/watch/jobs.html", context)


def every(seconds: float) -> str:
    """10 s, 5 min, 1 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
