"""Password or code once more, before acts that cost money or make somebody mightier.

Whoever logged in, or proved themselves, within STEP_UP_MINUTES is not asked again.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminPasswordWidget

from config.clock import now
from config.errors import DomainError
from keystore import audit, staff_sessions
from keystore.admin.dialogs import ReasonDialog
from keystore.admin.gate import sent_to, way_back
from keystore.admin.pages import actor_of, person_of
from keystore.second_factor import DIGITS, authenticator_of, check_code

FIELD = "step_up_proof"


def require_step_up(request: HttpRequest) -> HttpResponse | None:
    """Where to prove oneself first; None when that was done a moment ago. For pages of their own:
    ask when the form is opened and again when it is sent.
    """
    if staff_sessions.has_just_proved(request.session, at=now()):
        return None
    return sent_to("staff-step-up", request)


class StepUp(forms.Form):
    """Mixed into a form that has `request`: asks for the proof in the form itself, when needed."""

    request: HttpRequest

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not staff_sessions.has_just_proved(self.request.session, at=now()):
            self.fields[FIELD] = proof_field(self.request)

    def clean_step_up_proof(self) -> str:
        prove(self.request, self.cleaned_data[FIELD])
        return ""  # nobody needs it any more

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if FIELD in self.fields and FIELD not in self.errors:
            del self.fields[FIELD]  # shown again for another mistake, the form asks no more
        return cleaned


class StepUpDialog(StepUp, ReasonDialog):
    """A reason, and who says so."""


class StepUpForm(StepUp):
    """The page of its own asks for nothing else."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(*args, **kwargs)


def proof_field(request: HttpRequest) -> forms.CharField:
    enrolled = authenticator_of(user=person_of(request)) is not None
    return forms.CharField(
        label="Your password, or a code of your app" if enrolled else "Your password",
        max_length=4096,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
        help_text="Asked again, since this act weighs more than others.",
    )


def prove(request: HttpRequest, text: str) -> None:
    """Take the proof, or refuse it with what is wrong. Wrong passwords count for the lock-out."""
    at = now()
    try:
        _check(request, text)
    except ValidationError:
        audit.record(
            actor=actor_of(request), act="staff.step_up_refused", target=person_of(request)
        )
        raise
    staff_sessions.note_proof(request.session, at=at)
    audit.record(actor=actor_of(request), act="staff.step_up", target=person_of(request))


def _check(request: HttpRequest, text: str) -> None:
    authenticator = authenticator_of(user=person_of(request))
    typed = text.replace(" ", "")
    if authenticator is not None and typed.isdigit() and len(typed) == DIGITS:
        try:
            check_code(authenticator=authenticator, code=typed, actor=actor_of(request), at=now())
        except DomainError as refusal:
            raise ValidationError(refusal.message) from refusal
        return
    known = authenticate(request, username=request.user.get_username(), password=text)
    if known is None or known.pk != request.user.pk:
        raise ValidationError("That is not your password. Nothing was done.")


@never_cache
@require_http_methods(["GET", "POST"])
def step_up_page(request: HttpRequest) -> HttpResponse:
    """For acts that have no dialog: prove oneself here, then go back."""
    if not admin.site.has_permission(request):
        return sent_to("admin:login", request)
    form = StepUpForm(request, request.POST or None)
    if FIELD not in form.fields or (request.method == "POST" and form.is_valid()):
        return redirect(way_back(request))
    context = {
        **admin.site.each_context(request),
        "title": "Is it you?",
        "form": form,
        "next": way_back(request),
    }
    return TemplateResponse(request, "admin/safety/step_up.html", context)
