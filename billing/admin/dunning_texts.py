"""The editor of the mails: written, looked at exactly as they leave, tried on oneself, kept."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.dunning import own_texts
from billing.dunning.letters import Letter
from billing.dunning.texts import (
    MOST_BODY,
    MOST_SUBJECT,
    PLACEHOLDERS,
    Text,
    TextRefused,
    check_text,
    standard,
    text_for,
)
from billing.models import DunningText, StepKind
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import LONGEST_REASON
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.models import Project

SEE, CHANGE = "billing.view_dunningtext", "billing.change_dunningtext"


class TextForm(forms.Form):
    """`act` decides what is asked: only keeping wants a reason."""

    subject = forms.CharField(max_length=MOST_SUBJECT, widget=UnfoldAdminTextInputWidget)
    body = forms.CharField(
        max_length=MOST_BODY, widget=UnfoldAdminTextareaWidget(attrs={"rows": 14})
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept in the audit trail. Needed to save.",
    )

    def __init__(self, kind: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        if "subject" in asked and "body" in asked:
            try:
                text = check_text(kind=self.kind, subject=asked["subject"], body=asked["body"])
                asked["text"] = text
            except TextRefused as refusal:
                self.add_error("body", refusal.message)
        wants_reason = self.data.get("act") in ("save", "drop")
        if wants_reason and not asked.get("reason"):
            self.add_error("reason", "Say why.")
        return asked


@admin.register(DunningText)
class DunningTextAdmin(ReadOnlyAdmin):
    list_display = ("kind", "language", "project", "subject")
    list_filter = ("project", "kind", "language")
    list_select_related = ("project",)
    ordering = ("project", "kind", "language")
    masked_names: dict[str, str] = {}
    actions_list = ("write",)
    actions_detail = ("edit",)
    has_look_permission = holds(SEE)

    @action(
        description="Look at the texts",
        icon="edit_note",
        variant=ActionVariant.PRIMARY,
        permissions=["look"],
    )
    def write(self, request: HttpRequest) -> HttpResponse:
        """A page of its own: the standard texts have no row."""
        return editor(request)

    @action(description="Edit and preview", icon="edit_note", permissions=["look"])
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = row_or_404(DunningText.objects.all(), object_id)
        return _to(row.project_id, row.kind, row.language)


def editor(request: HttpRequest) -> HttpResponse:
    """One text of one project. GET shows it, POST does what its button says."""
    projects = list(Project.objects.order_by("slug"))
    project = next(
        (one for one in projects if str(one.pk) == request.GET.get("project")),
        projects[0] if projects else None,
    )
    kind, language = request.GET.get("kind", ""), request.GET.get("language", "")
    kind = kind if kind in StepKind.values else StepKind.FAILED
    language = language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
    if project is None:
        messages.error(request, "There is no project yet.")
        return redirect("admin:billing_dunningtext_changelist")
    if request.method == "POST":
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        form = TextForm(kind, request.POST)
        done = _act(request, form, project, kind, language)
        if done is not None:
            return done
    else:
        text = text_for(project, kind, language)
        form = TextForm(kind, initial={"subject": text.subject, "body": text.body})
    return _page(request, form, project, kind, language, projects)


def _act(
    request: HttpRequest, form: TextForm, project: Project, kind: str, language: str
) -> HttpResponse | None:
    """Do it and lead back; None: the page is shown again, with what stands against it."""
    act = request.POST.get("act")
    place: dict[str, Any] = {"project": project, "kind": kind, "language": language}
    by: dict[str, Any] = {"actor": actor_of(request), "at": now()}
    if act == "drop":
        reason = request.POST.get("reason", "")[:LONGEST_REASON].strip()
        if not reason:
            form.add_error("reason", "Say why.")
            return None
        own_texts.drop_text(**place, reason=reason, **by)
        messages.success(request, "The standard text is sent again.")
        return _to(project.pk, kind, language)
    if not form.is_valid() or act not in ("save", "test"):
        return None
    given = form.cleaned_data
    text = given["text"]
    try:
        if act == "save":
            words = {"subject": text.subject, "body": text.body, "reason": given["reason"]}
            own_texts.save_text(**place, **words, **by)
            messages.success(request, "Saved: the next mail says this.")
            return _to(project.pk, kind, language)
        letter = own_texts.sample_letter(**place, text=text, at=by["at"])
        to = request.user.email  # type: ignore[union-attr]
        own_texts.send_sample(project=project, letter=letter, to=to, **by)
        messages.success(request, f"A test is on its way to {to}. Nothing was saved.")
    except DomainError as refusal:
        form.add_error(None, refusal.message)
    return None


def _page(
    request: HttpRequest,
    form: TextForm,
    project: Project,
    kind: str,
    language: str,
    projects: list[Project],
) -> HttpResponse:
    own = DunningText.objects.filter(project=project)
    written = set(own.values_list("kind", "language"))
    context = {
        **admin.site.each_context(request),
        "title": "Texts of the reminders",
        "form": form,
        "project": project,
        "kind": kind,
        "language": language,
        "projects": [(one, _address(one.pk, kind, language), one == project) for one in projects],
        "kinds": [
            (one.replace("_", " "), _address(project.pk, one, language), one == kind)
            for one in StepKind.values
        ],
        "languages": [
            (name, _address(project.pk, kind, code), code == language)
            for code, name in settings.LANGUAGES
        ],
        "is_own": (kind, language) in written,
        "may_change": request.user.has_perm(CHANGE),
        "placeholders": PLACEHOLDERS.items(),
        "letter": _preview(form, project, kind, language),
    }
    return TemplateResponse(request, "admin/dunning/texts.html", context)


def _preview(form: TextForm, project: Project, kind: str, language: str) -> Letter:
    """What is in the form, as it would be sent; while that makes no sense, the standard text."""
    text = standard(kind, language)
    if not form.is_bound:
        text = Text(form.initial["subject"], form.initial["body"])
    else:
        text = form.cleaned_data.get("text", text)
    return own_texts.sample_letter(
        project=project, kind=kind, language=language, text=text, at=now()
    )


def _address(project: int, kind: str, language: str) -> str:
    asked = urlencode({"project": str(project), "kind": kind, "language": language})
    return f"{reverse('admin:billing_dunningtext_write')}?{asked}"


def _to(project: int, kind: str, language: str) -> HttpResponse:
    return HttpResponseRedirect(_address(project, kind, language))
