"""Projects, the apps that call for them, and the APIs that they sell."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from config.clock import now
from config.errors import DomainError
from keystore.admin.pages import AuditedAdmin, actor_of, holds, row_or_404
from keystore.admin.stepup import StepUpDialog
from keystore.keyrows import IssuedKey
from keystore.models import Api, App, Environment, Project
from keystore.permissions import SCOPES
from keystore.services import issue_key


@admin.register(Project)
class ProjectAdmin(AuditedAdmin):
    list_display = ("slug", "name", "public_id", "created_at")
    search_fields = ("slug", "name", "public_id")
    fields = ("slug", "name", "allowed_origins", "public_id", "created_at")
    readonly_fields = ("public_id", "created_at")
    set_once = ("slug",)
    formfield_overrides: ClassVar = {ArrayField: {"widget": UnfoldAdminTextInputWidget}}


@admin.register(Api)
class ApiAdmin(AuditedAdmin):
    list_display = ("code", "name", "project", "public_id")
    list_filter = ("project",)
    list_select_related = ("project",)
    search_fields = ("code", "name", "public_id")
    fields = ("project", "code", "name", "public_id", "created_at")
    readonly_fields = ("public_id", "created_at")
    set_once = ("project", "code")


class IssueKeyDialog(StepUpDialog):
    """What a new app key may do."""

    key_name = forms.CharField(
        label="Name", max_length=100, required=False, widget=UnfoldAdminTextInputWidget
    )
    key_environment = forms.ChoiceField(
        label="Environment", choices=Environment.choices, widget=UnfoldAdminSelectWidget
    )
    key_scopes = forms.MultipleChoiceField(
        label="Scopes",
        choices=[(scope, scope) for scope in SCOPES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


@admin.register(App)
class AppAdmin(AuditedAdmin):
    list_display = ("name", "project", "is_active", "live_keys", "public_id")
    list_filter = ("project", "is_active")
    list_select_related = ("project",)
    search_fields = ("name", "public_id")
    fields = ("project", "name", "is_active", "public_id", "created_at")
    readonly_fields = ("public_id", "created_at")
    set_once = ("project",)
    actions_detail = ("issue_app_key",)
    has_issue_key_permission = holds("keystore.issue_apikey", "keystore.view_app")

    def get_queryset(self, request: HttpRequest) -> QuerySet[App]:
        live = Count("keys", filter=Q(keys__revoked_at=None))
        rows: QuerySet[App] = super().get_queryset(request)
        return rows.annotate(live=live)

    @admin.display(description="keys not revoked")
    def live_keys(self, app: Any) -> int:
        return int(app.live)

    @action(
        description="Issue a key",
        icon="key",
        permissions=["issue_key"],
        dialog={
            "title": "Issue an app key",
            "description": "Its text is shown once, right after this, and is kept nowhere.",
            "form_class": IssueKeyDialog,
        },
    )
    def issue_app_key(
        self, request: HttpRequest, form: IssueKeyDialog, object_id: str
    ) -> HttpResponse:
        app = row_or_404(App.objects.select_related("project"), object_id)
        try:
            issued = issue_app_key(app, form, actor_of(request))
        except DomainError as refusal:
            form.add_error("deed_reason", refusal.message)
            return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
        return show_once(request, issued)


def issue_app_key(app: App, form: IssueKeyDialog, actor: str) -> IssuedKey:
    asked = form.cleaned_data
    return issue_key(
        project=app.project,
        owner=app,
        name=asked["key_name"],
        environment=asked["key_environment"],
        scopes=asked["key_scopes"],
        actor=actor,
        reason=form.reason,
        at=now(),
    )


def show_once(request: HttpRequest, issued: IssuedKey) -> HttpResponse:
    """The only answer that ever holds the key's text; it takes the place of the whole dialog."""
    link = reverse("admin:keystore_apikey_change", args=[issued.key.pk])
    response = render(request, "admin/key_issued.html", {"issued": issued, "link": link})
    add_never_cache_headers(response)
    response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
    return response
