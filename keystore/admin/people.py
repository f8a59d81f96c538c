"""Staff and their roles, with forms that look like the rest of the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from keystore import audit
from keystore.admin.pages import actor_of

admin.site.unregister(User)
admin.site.unregister(Group)


class RightsAdmin(admin.ModelAdmin):
    """Who may do what is on record like what they do: names of what changed, never passwords."""

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


@admin.register(Group)
class RoleAdmin(RightsAdmin, GroupAdmin, ModelAdmin):
    pass
