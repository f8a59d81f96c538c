"""Plans and features to edit, grants to see and to revoke."""

from typing import Any

from django import forms
from django.contrib import admin
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest, HttpResponse
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from entitlements.contents import contents_of, record_contents
from entitlements.models import Feature, Grant, Plan, PlanFeature
from entitlements.services import refresh_plan_answers, revoke_grant
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import AuditedAdmin, ReadOnlyAdmin, actor_of, holds, row_or_404

STATE_COLOURS = {
    "live": "success",
    "denies": "warning",
    "not started": "info",
    "ended": "",
    "revoked": "danger",
}


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


def state_of(grant: Grant) -> str:
    """In one word whether the grant counts now."""
    at = now()
    if grant.revoked_at:
        return "revoked"
    if grant.valid_to and grant.valid_to <= at:
        return "ended"
    if grant.valid_from > at:
        return "not started"
    return "denies" if grant.effect == "deny" else "live"


@admin.register(Grant)
class GrantAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "who",
        "plan",
        "feature",
        "state",
        "source",
        "valid_from",
        "valid_to",
    )
    list_filter = (
        "project",
        "source",
        ("valid_to", DayFilter),
        ("revoked_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("consumer", "plan", "feature", "project")
    search_fields = ("public_id", "source_ref", "consumer__public_id", "consumer__external_id")
    search_help_text = "grant_ id, source (sub_, pi_), consumer"
    ordering = ("-pk",)
    fields = (
        "public_id",
        "consumer",
        "plan",
        "feature",
        "limit",
        "config",
        "state",
        "effect",
        "source",
        "source_ref",
        "valid_from",
        "valid_to",
        "revoked_at",
        "reason",
        "granted_by",
        "project",
        "created_at",
    )
    actions_detail = ("revoke",)
    has_revoke_permission = holds("entitlements.revoke_grant", "entitlements.view_grant")

    @display(description="state", label=STATE_COLOURS)
    def state(self, grant: Grant) -> str:
        return state_of(grant)

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={
            "title": "Revoke this grant",
            "description": "What it opens closes at once, unless another grant opens it too.",
            "form_class": ReasonDialog,
        },
    )
    def revoke(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        grant = row_or_404(Grant.objects.select_related("consumer"), object_id)
        return carry_out(
            request,
            form,
            lambda: revoke(grant, form, request),
            back=request.path.removesuffix("revoke/") + "change/",
        )


def revoke(grant: Grant, form: ReasonDialog, request: HttpRequest) -> str:
    """End the grant for the dialog's reason; what to tell whoever asked."""
    done = revoke_grant(grant=grant, reason=form.reason, actor=actor_of(request), at=now())
    return (
        f"{grant.public_id} is revoked."
        if done
        else f"{grant.public_id} was revoked before: nothing changed."
    )
