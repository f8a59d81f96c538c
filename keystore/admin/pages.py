"""The two kinds of admin page: one that only shows, and one whose every change is on record."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.contrib.admin import SimpleListFilter
from django.contrib.auth.models import User
from django.db import models
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from keystore import audit
from keystore.admin.personal import PersonalDataAdmin
from keystore.models import Project


def person_of(request: HttpRequest) -> User:
    """Who is logged in; the admin lets nobody else come so far."""
    return cast(User, request.user)


def has_verified(request: HttpRequest) -> bool:
    """Whether they gave their second factor in this session; the middleware of django-otp knows."""
    return bool(request.user.is_verified())  # type: ignore[union-attr]


def actor_of(request: HttpRequest) -> str:
    """How the audit trail names whoever is logged in."""
    return f"staff:{request.user.get_username()}"


def holds(*permissions: str) -> Callable[..., bool]:
    """A page's `has_..._permission` for an act. Named in full, Unfold would look each permission
    up in the database when Django checks itself, which is before there are any tables.
    """

    def has_permission(page: Any, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perms(permissions)

    return has_permission


def row_or_404(rows: models.QuerySet[Any], object_id: str | None) -> Any:
    """The row that an action's address names; addresses are typed by people too."""
    try:
        return rows.get(pk=object_id)
    except (rows.model.DoesNotExist, ValueError) as missing:
        raise Http404(f"There is no {rows.model._meta.verbose_name} {object_id}.") from missing


def row_or_none(rows: models.QuerySet[Any], object_id: Any) -> Any:
    """The row that a page's address names, for pages that answer for themselves without one."""
    try:
        return rows.filter(pk=object_id).first()
    except ValueError:
        return None


class WithoutHistory:
    """Django's own history knows less than the audit trail, and names rows by their text."""

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise Http404("The audit trail tells more.")


class ReadOnlyAdmin(WithoutHistory, PersonalDataAdmin, ModelAdmin):
    """Shows rows that only services write. Nobody adds, changes or deletes, superusers included."""

    show_full_result_count = False  # counting a large table takes longer than reading a page
    list_per_page = 50
    list_filter_submit = True
    change_form_outer_before_template = "admin/safety/reveal.html"

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the page's own filters ask: any other condition in the address would tell,
        letter by letter, what is masked or not shown at all.
        """
        names = [_filtered(one) for one in self.list_filter]
        offered = any(lookup == name or lookup.startswith(f"{name}_") for name in names)
        return offered and super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        return self.get_fields(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        names = self.fields or [
            field.name for field in self.model._meta.fields if field.name not in ("id", "digest")
        ]
        return self._shown(request, ["who" if name == "consumer" else name for name in names], obj)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        shown = {
            "title": str(self.opts.verbose_name).capitalize(),
            **self.reveal_context(request, self.get_object(request, object_id)),
            **(extra_context or {}),
        }
        page: HttpResponse = super().change_view(request, object_id, form_url, shown)
        return page


def _filtered(one: Any) -> str:
    """What a filter calls itself in the address."""
    if isinstance(one, type) and issubclass(one, SimpleListFilter):
        return str(one.parameter_name)
    return str(one[0] if isinstance(one, tuple) else one)


class AuditedAdmin(WithoutHistory, ModelAdmin):
    """Edits rows that people own. Each change is in the audit trail, in its own transaction."""

    set_once: tuple[str, ...] = ()  # fields that others refer to: fixed when the row exists

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # rows are pointed to for ever

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        fixed = self.set_once if obj is not None else ()
        return [*super().get_readonly_fields(request, obj), *fixed]

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: ModelForm, change: bool
    ) -> None:
        changed = [
            name
            for name in form.changed_data
            if not change or form.initial.get(name) != _plain(form.cleaned_data[name])
        ]
        before = {name: form.initial.get(name) for name in changed} if change else None
        super().save_model(request, obj, form, change)
        if change and not changed:
            return
        audit.record(
            actor=actor_of(request),
            act=f"{obj._meta.model_name}.{'change' if change else 'add'}",
            target=obj,
            project=obj if isinstance(obj, Project) else None,
            before=before,
            after={name: _plain(form.cleaned_data[name]) for name in changed},
        )


def _plain(value: object) -> object:
    """A row as its number, which is how a form names what it was."""
    return value.pk if isinstance(value, models.Model) else value
