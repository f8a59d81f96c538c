"""Plans and features to edit."""

from typing import Any

from django import forms
from django.contrib import admin
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from unfold.admin import TabularInline

from config.clock import now
from entitlements.contents import contents_of, record_contents
from entitlements.models import Feature, Plan, PlanFeature
from entitlements.services import refresh_plan_answers
from keystore.admin.pages import AuditedAdmin, actor_of


@admin.register(Feature)
class FeatureAdmin(AuditedAdmin):
    list_display = ("code", "name", "kind", "project", "public_id")
    list_filter = ("project", "kind")
    list_select_related = ("project",)
    search_fields = ("code", "name", "public_id")
    fields = ("project", "code", "name", "kind", "public_id", "created_at")
    readonly_fields = ("public_id", "created_at")
    set_once = ("project", "code", "kind")  # programs ask for the code; plans hold values of a kind


class PlanForm(ModelForm):
    """Refuses an API of another project."""

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        api = asked.get("api")
        # The project is in the form only while the plan does not exist.
        project = asked["project"].pk if "project" in asked else self.instance.project_id
        if api and project and api.project_id != project:
            self.add_error("api", f"{api.code} belongs to another project.")
        return asked


class PlanFeatureFormSet(BaseInlineFormSet):
    """Refuses a feature of another project."""

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            feature = form.cleaned_data.get("feature")
            if feature and feature.project_id != self.instance.project_id:
                raise forms.ValidationError(
                    f"{feature.code} belongs to another project: choose one of this plan's."
                )


class PlanFeatureInline(TabularInline):
    model = PlanFeature
    formset = PlanFeatureFormSet
    extra = 0
    fields = ("feature", "limit", "config", "reset", "enforcement")


@admin.register(Plan)
class PlanAdmin(AuditedAdmin):
    form = PlanForm
    list_display = ("code", "name", "project", "rank", "limit_per_minute", "public")
    list_filter = ("project", "public")
    list_select_related = ("project",)
    search_fields = ("code", "name", "public_id")
    fields = (
        "project",
        "api",
        "code",
        "name",
        "rank",
        "limit_per_minute",
        "issues_key",
        "allows_many",
        "public",
        "public_id",
        "created_at",
    )
    readonly_fields = ("public_id", "created_at")
    set_once = ("project", "code")
    inlines = (PlanFeatureInline,)

    def save_related(
        self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool
    ) -> None:
        """Whoever holds the plan is answered by its new contents from the next question on."""
        plan, at = form.instance, now()
        before = contents_of(plan)
        super().save_related(request, form, formsets, change)
        record_contents(plan=plan, before=before, actor=actor_of(request), at=at)
        refresh_plan_answers(plan=plan, at=at)
