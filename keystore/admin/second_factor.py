"""The pages of the second factor: switch it on, and give a code after the password."""

from typing import Any
from urllib.parse import quote

import segno
from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_otp import login as remember_factor
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from config.clock import now
from config.errors import DomainError
from keystore import staff_sessions
from keystore.admin.dialogs import carry_out
from keystore.admin.gate import sent_to, way_back
from keystore.admin.pages import (
    ReadOnlyAdmin,
    actor_of,
    has_verified,
    holds,
    person_of,
    row_or_404,
)
from keystore.admin.stepup import StepUpDialog, require_step_up
from keystore.models import Authenticator
from keystore.second_factor import (
    WrongCode,
    authenticator_of,
    begin_enrolment,
    check_code,
    confirm_enrolment,
    reset_second_factor,
)

ISSUER = "Latchkey"


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Code",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": "", "spellcheck": "false"}
        ),
    )


@never_cache
@require_http_methods(["GET", "POST"])
def verify_page(request: HttpRequest) -> HttpResponse:
    """After the password: the app's code, or a recovery code."""
    if not admin.site.has_permission(request):
        return sent_to("admin:login", request)
    authenticator = authenticator_of(user=person_of(request))
    if authenticator is None or has_verified(request):
        return redirect(way_back(request))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _verified(request, authenticator, form):
        return redirect(way_back(request))
    shown = {"title": "Second factor", "form": form, "next": way_back(request)}
    return _page(request, "admin/safety/verify.html", shown)


def _verified(request: HttpRequest, authenticator: Authenticator, form: CodeForm) -> bool:
    code, at = form.cleaned_data["code"], now()
    try:
        check_code(authenticator=authenticator, code=code, actor=actor_of(request), at=at)
    except DomainError as refusal:
        form.add_error("code", refusal.message)
        return False
    _open_session(request, authenticator)
    return True


def _open_session(request: HttpRequest, authenticator: Authenticator) -> None:
    """Under a new session id: one that was known before the code must not be worth more after."""
    request.session.cycle_key()
    remember_factor(request, authenticator)
    staff_sessions.note_proof(request.session, at=now())


@never_cache
@require_http_methods(["GET", "POST"])
def enrol_page(request: HttpRequest) -> HttpResponse:
    """Show the secret to the app, and believe it once it makes the right code."""
    if not admin.site.has_permission(request):
        return sent_to("admin:login", request)
    if authenticator_of(user=person_of(request)) is not None:
        return _page(request, "admin/safety/enrolled.html", {"title": "Second factor"})
    refusal = require_step_up(request)
    if refusal is not None:
        return refusal
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        shown = _confirmed(request, form)
        if shown is not None:
            return shown
    secret = begin_enrolment(user=person_of(request))
    context = {
        "title": "Switch on your second factor",
        "form": form,
        "secret": " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
        "qr": segno.make(_address_for_app(request, secret), error="m").svg_data_uri(
            scale=5, border=3, dark="#000", light="#fff"
        ),
        "next": way_back(request),
    }
    return _page(request, "admin/safety/enrol.html", context)


def _confirmed(request: HttpRequest, form: CodeForm) -> HttpResponse | None:
    """The page with the recovery codes, the only one that ever shows them."""
    code = form.cleaned_data["code"]
    try:
        enrolled = confirm_enrolment(
            user=person_of(request), code=code, actor=actor_of(request), at=now()
        )
    except WrongCode as refusal:
        form.add_error("code", refusal.message)
        return None
    _open_session(request, enrolled.authenticator)
    shown = {"title": "Recovery codes", "codes": enrolled.recovery_codes}
    return _page(request, "admin/safety/recovery.html", {**shown, "next": way_back(request)})


def _address_for_app(request: HttpRequest, secret: str) -> str:
    label = quote(f"{ISSUER}:{request.user.get_username()}")
    return f"otpauth://totp/{label}?secret={secret}&issuer={ISSUER}&digits=6&period=30"


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Who has a second factor; an operator takes a lost one away."""

    list_display = ("user", "state", "failures", "blocked_until", "codes_left", "created_at")
    list_filter = ("confirmed",)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fields = ("user", "state", "failures", "blocked_until", "codes_left", "created_at")
    actions_detail = ("reset",)
    has_reset_permission = holds("keystore.reset_authenticator", "keystore.view_authenticator")

    @display(description="state", label={"in use": "success", "not confirmed": "warning"})
    def state(self, authenticator: Authenticator) -> str:
        return "in use" if authenticator.confirmed else "not confirmed"

    @admin.display(description="recovery codes left")
    def codes_left(self, authenticator: Authenticator) -> int:
        return int(authenticator.recovery_codes.filter(used_at=None).count())

    @action(
        description="Reset",
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
        permissions=["reset"],
        dialog={
            "title": "Reset this second factor",
            "description": "Be sure who asks: from then on their password alone lets them enrol.",
            "form_class": StepUpDialog,
        },
    )
    def reset(self, request: HttpRequest, form: StepUpDialog, object_id: str) -> HttpResponse:
        row = row_or_404(Authenticator.objects.select_related("user"), object_id)

        def deed() -> str:
            refuse_own_and_higher(request, row)
            reset_second_factor(user=row.user, actor=actor_of(request), reason=form.reason)
            return f"{row.user} enrols anew at the next login."

        return carry_out(
            request, form, deed, back=reverse("admin:keystore_authenticator_changelist")
        )


class NotYours(DomainError):
    """This second factor is not for the asker to take away."""

    code = "not_yours"
    status = 403


def refuse_own_and_higher(request: HttpRequest, authenticator: Authenticator) -> None:
    """A stolen session must not shed its own factor, nor an operator that of a superuser."""
    if authenticator.user_id == request.user.pk:
        raise NotYours("Ask a colleague: nobody resets their own second factor.")
    if authenticator.user.is_superuser and not request.user.is_superuser:
        raise NotYours("Only a superuser resets the second factor of a superuser.")
