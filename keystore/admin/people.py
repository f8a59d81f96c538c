"""Staff and their roles, with forms that look like the rest of the admin. For superusers alone:
who may edit users could make themselves anything.
"""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from keystore import audit
from keystore.admin.pages import actor_of
from keystore.admin.stepup import require_step_up
from keystore.staff_sessions import end_sessions

admin.site.unregister(User)
admin.site.unregister(Group)

OWN_RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


class RightsAdmin(admin.ModelAdmin):
    """Who may do what is on record like what they do: names of what changed, never passwords."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _stepped_up(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _stepped_up(super().delete_view, request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "GET":
            shown: HttpResponse = super().changelist_view(request, *args, **kwargs)
            return shown
        return _stepped_up(super().changelist_view, request, *args, **kwargs)

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        _record(request, "add", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> LogEntry:
        _record(request, "change", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            _record(request, "delete", obj, None)
        return super().log_deletions(request, queryset)


def _stepped_up(view: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """The view, for a superuser who has just proved who they are."""
    refusal = require_step_up(request) if request.user.is_superuser else None
    if refusal is not None:
        return refusal
    answer: HttpResponse = view(request, *args, **kwargs)
    return answer


def _record(request: HttpRequest, act: str, obj: models.Model, message: Any) -> None:
    after = {"name": str(obj), "changed": message if isinstance(message, list) else str(message)}
    audit.record(
        actor=actor_of(request),
        act=f"{obj._meta.model_name}.{act}",
        target=obj,
        before={"name": str(obj)} if act == "delete" else None,
        after=None if act == "delete" else after,
    )


@admin.register(User)
class StaffAdmin(RightsAdmin, UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _stepped_up(super().user_change_password, request, *args, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Nobody's own rights: neither more of them, nor shut out by a slip."""
        own = OWN_RIGHTS if obj is not None and obj.pk == request.user.pk else ()
        return [*super().get_readonly_fields(request, obj), *own]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and not obj.is_active:
            end_sessions(user=obj)  # switched on again, they log in again


@admin.register(Group)
class RoleAdmin(RightsAdmin, GroupAdmin, ModelAdmin):
    pass
