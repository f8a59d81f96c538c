"""What an app may do while it cannot ask: staff set it for a project or for one feature."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from keystore.admin.pages import AuditedAdmin
from metering.failpolicy import LONGEST
from metering.models import FailPolicy

SET = "metering.set_failpolicy"


class FailPolicyForm(forms.ModelForm):
    class Meta:
        model = FailPolicy
        fields = ("project", "feature", "on_failure", "fresh_seconds", "stale_seconds")
        help_texts = {
            "feature": "None: every feature of the project that has no policy of its own.",
            "on_failure": "What an app does when no answer comes: let pass, or refuse.",
            "fresh_seconds": "An answer may be used so long without asking again.",
            "stale_seconds": "And so long when asking fails; for fail_open only.",
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        project = cleaned.get("project", self.instance.project if self.instance.pk else None)
        feature = cleaned.get("feature", self.instance.feature if self.instance.pk else None)
        if project and feature and feature.project_id != project.pk:
            self.add_error("feature", "This feature belongs to another project.")
        longest = int(LONGEST.total_seconds())
        for name in ("fresh_seconds", "stale_seconds"):
            if (cleaned.get(name) or 0) > longest:
                self.add_error(name, f"At most {longest:,} seconds, which is a week.")
        return cleaned


@admin.register(FailPolicy)
class FailPolicyAdmin(AuditedAdmin):
    form = FailPolicyForm
    list_display = ("project", "feature", "on_failure", "fresh_seconds", "stale_seconds")
    list_filter = ("project", "on_failure")
    list_select_related = ("project", "feature")
    set_once = ("project", "feature")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SET)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(SET)
