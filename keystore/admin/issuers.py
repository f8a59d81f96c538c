"""Whose tokens the projects accept, and what is wrong with a token."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from config.errors import DomainError
from keystore import issuers
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.issuer_forms import AddIssuerDialog, RollIssuerDialog, TryTokenDialog
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.admin.personal import may_see
from keystore.endusers import read_token
from keystore.masking import masked
from keystore.models import Algorithm, TokenIssuer

SEE = "keystore.view_tokenissuer"
UNTOLD = method_decorator(sensitive_post_parameters("token", "token_secret", "step_up_proof"))
Deed = Callable[[TokenIssuer], str]


@admin.register(TokenIssuer)
class TokenIssuerAdmin(ReadOnlyAdmin):
    list_display = ("issuer", "audience", "project", "algorithm", "state", "created_at")
    list_filter = ("project", "algorithm", ("disabled_at", admin.EmptyFieldListFilter))
    list_select_related = ("project",)
    search_fields = ("public_id", "issuer", "audience")
    search_help_text = "iss_ id, issuer or audience"
    ordering = ("-pk",)
    fields = (
        "issuer",
        "audience",
        "project",
        "algorithm",
        "state",
        "jwks_url",
        "usable_keys",
        "jwks_read_at",
        "previous_until",
        "roles_claim",
        "admin_role",
        "tokens_since",
        "disabled_at",
        "public_id",
        "created_at",
    )
    masked_names: dict[str, str] = {}  # nothing here names a person
    actions_list = ("add_issuer", "try_token")
    actions_detail = (
        "roll",
        {
            "title": "Change",
            "icon": "edit",
            "items": ["sign_everybody_out", "switch_off", "switch_on"],
        },
    )
    has_manage_permission = holds("keystore.manage_tokenissuer", SEE)
    has_try_permission = holds(SEE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TokenIssuer]:
        rows: QuerySet[TokenIssuer] = super().get_queryset(request)
        return rows.defer("sealed_secret", "sealed_previous_secret")

    @display(description="state", label={"on": "success", "rolling": "warning", "off": "danger"})
    def state(self, issuer: TokenIssuer) -> str:
        if issuer.disabled_at:
            return "off"
        is_rolling = issuer.previous_until is not None and issuer.previous_until > now()
        return "rolling" if is_rolling else "on"

    @admin.display(description="usable keys")
    def usable_keys(self, issuer: TokenIssuer) -> str:
        if issuer.algorithm == Algorithm.HS256:
            return "a secret"
        keys = (issuer.jwks or {}).get("keys", [])
        named = ", ".join(key.get("kid", "without a name") for key in keys)
        return f"{len(keys)}: {named}" if keys else "none"

    @action(
        description="Add an issuer",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["manage"],
        dialog={
            "title": "Accept tokens of an issuer",
            "description": "Whoever it signs for calls the API as themselves from then on.",
            "form_class": AddIssuerDialog,
        },
    )
    @UNTOLD
    def add_issuer(self, request: HttpRequest, form: AddIssuerDialog) -> HttpResponse:
        return show_made(
            request,
            form,
            lambda: issuers.make_issuer(
                actor=actor_of(request), reason=form.reason, at=now(), **form.terms
            ),
        )

    @action(
        description="Try a token",
        icon="fingerprint",
        permissions=["try"],
        dialog={
            "title": "Try a token",
            "description": "Says whom a token speaks for, or what is wrong with it.",
            "form_class": TryTokenDialog,
            "form_submit_text": "Try",
        },
    )
    @UNTOLD
    def try_token(self, request: HttpRequest, form: TryTokenDialog) -> HttpResponse:
        said = told_about(form.cleaned_data["token"].strip(), hide=not may_see(request))
        return in_place(render(request, "admin/issuers/tried.html", said))

    @action(
        description="Roll the secret",
        permissions=["manage"],
        dialog={
            "title": "Roll the secret",
            "description": "Tokens signed with the new one are good at once. HS256 only.",
            "form_class": RollIssuerDialog,
        },
    )
    @UNTOLD
    def roll(self, request: HttpRequest, form: RollIssuerDialog, object_id: str) -> HttpResponse:
        issuer = row_or_404(TokenIssuer.objects.all(), object_id)
        return show_made(
            request,
            form,
            lambda: issuers.roll_secret(
                issuer=issuer,
                secret=form.cleaned_data["token_secret"],
                overlap=form.overlap,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            ),
        )

    @action(
        description="Sign everybody out",
        permissions=["manage"],
        dialog={
            "title": "Sign everybody out",
            "description": "Every token that this issuer gave out until now is refused.",
            "form_class": ReasonDialog,
        },
    )
    def sign_everybody_out(
        self, request: HttpRequest, form: ReasonDialog, object_id: str
    ) -> HttpResponse:
        def deed(issuer: TokenIssuer) -> str:
            issuers.sign_everybody_out(
                issuer=issuer, actor=actor_of(request), reason=form.reason, at=now()
            )
            return "Everybody was signed out."

        return carried_out(request, form, object_id, deed)

    @action(
        description="Switch off",
        permissions=["manage"],
        dialog={
            "title": "Switch this issuer off",
            "description": "None of its tokens is accepted until it is on again.",
            "form_class": ReasonDialog,
        },
    )
    def switch_off(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(issuer: TokenIssuer) -> str:
            done = issuers.switch_off(
                issuer=issuer, actor=actor_of(request), reason=form.reason, at=now()
            )
            return "The issuer is off." if done else "It was off before: nothing changed."

        return carried_out(request, form, object_id, deed)

    @action(
        description="Switch on",
        permissions=["manage"],
        dialog={
            "title": "Switch this issuer on",
            "description": "Its tokens are accepted again, older ones too.",
            "form_class": ReasonDialog,
        },
    )
    def switch_on(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed(issuer: TokenIssuer) -> str:
            done = issuers.switch_on(issuer=issuer, actor=actor_of(request), reason=form.reason)
            return "The issuer is on." if done else "It was on before: nothing changed."

        return carried_out(request, form, object_id, deed)


def carried_out(
    request: HttpRequest, form: ReasonDialog, object_id: str, deed: Deed
) -> HttpResponse:
    issuer: TokenIssuer = row_or_404(TokenIssuer.objects.all(), object_id)
    return carry_out(request, form, lambda: deed(issuer), back=page_of(issuer))


def page_of(issuer: TokenIssuer) -> str:
    return reverse("admin:keystore_tokenissuer_change", args=[issuer.pk])


def told_about(token: str, *, hide: bool) -> dict[str, Any]:
    """Whom the token speaks for, or what is wrong with it."""
    try:
        person = read_token(token=token, at=now())
    except DomainError as refusal:
        return {"wrong": refusal.message}
    known = person.consumer
    return {
        "person": person,
        "name": masked(person.external_id) if hide else person.external_id,
        "link": reverse("admin:keystore_consumer_change", args=[known.pk]) if known else "",
    }


def show_made(
    request: HttpRequest, form: ReasonDialog, deed: Callable[[], issuers.MadeIssuer]
) -> HttpResponse:
    """The only answer that ever holds the secret; it takes the place of the whole dialog."""
    try:
        made = deed()
    except DomainError as refusal:
        form.add_error("deed_reason", refusal.message)
        return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
    shown = {"made": made, "link": page_of(made.issuer)}
    return in_place(render(request, "admin/issuers/made.html", shown))


def in_place(response: HttpResponse) -> HttpResponse:
    """Takes the place of the dialog, and is kept nowhere."""
    add_never_cache_headers(response)
    response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
    return response
