"""What staff do to a key, from its own page and from the rows of the consumer page."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from unfold.decorators import action
from unfold.enums import ActionVariant

from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import carry_out, opened_on
from keystore.admin.key_forms import (
    DisableKeyDialog,
    EditKeyDialog,
    EnableKeyDialog,
    KeyDialog,
    MoveCutoffDialog,
    RevokeKeyDialog,
    RotateKeyDialog,
)
from keystore.admin.pages import actor_of, holds
from keystore.handover import claim_link
from keystore.keyrows import IssuedKey
from keystore.rotation import move_cutoff, rotate_key
from keystore.services import disable_key, enable_key, revoke_key
from keystore.terms import edit_key

SEE = "keystore.view_apikey"


class KeyActs:
    """Mixed into the page of keys."""

    actions_detail: Any = ("rotate", "move_cutoff", "edit", "disable", "enable", "revoke")
    has_edit_permission = holds("keystore.edit_apikey", SEE)
    has_rotate_permission = holds("keystore.rotate_apikey", SEE)
    has_switch_permission = holds("keystore.disable_apikey", SEE)
    has_revoke_permission = holds("keystore.revoke_apikey", SEE)

    @action(
        description="Rotate",
        icon="autorenew",
        permissions=["rotate"],
        dialog={"title": "Replace this key", "form_class": RotateKeyDialog},
    )
    def rotate(self, request: HttpRequest, form: RotateKeyDialog, object_id: str) -> HttpResponse:
        try:
            issued = rotate_key(
                key=form.key,
                overlap=form.time_for_both,
                claimable=form.by_link,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
        except DomainError as refusal:
            form.add_error("deed_reason", refusal.message)
            return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
        replaced = issued.key.replaces
        assert replaced is not None
        assert replaced.expires_at is not None
        said = f"The old key works until {replaced.expires_at:%Y-%m-%d %H:%M} UTC."
        return hand_over(request, issued, by_link=form.by_link, said=said)

    @action(
        description="Move cut-off",
        icon="more_time",
        permissions=["rotate"],
        dialog={"title": "How long the replaced key works on", "form_class": MoveCutoffDialog},
    )
    def move_cutoff(
        self, request: HttpRequest, form: MoveCutoffDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            until = move_cutoff(
                key=form.key,
                overlap=form.time_for_both,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            return f"{form.key} works until {until:%Y-%m-%d %H:%M} UTC."

        return _carried_out(request, form, deed)

    @action(
        description="Edit",
        icon="edit",
        permissions=["edit"],
        dialog={"title": "Change what this key opens", "form_class": EditKeyDialog},
    )
    def edit(self, request: HttpRequest, form: EditKeyDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            changed = edit_key(
                key=form.key,
                wanted=form.wanted,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            return f"{form.key} is changed." if changed else f"{form.key} was like this before."

        return _carried_out(request, form, deed)

    @action(
        description="Switch off",
        icon="toggle_off",
        permissions=["switch"],
        dialog={"title": "Switch this key off", "form_class": DisableKeyDialog},
    )
    def disable(self, request: HttpRequest, form: KeyDialog, object_id: str) -> HttpResponse:
        return _act(request, form, disable_key, done="is off", before="was off before")

    @action(
        description="Switch on",
        icon="toggle_on",
        permissions=["switch"],
        dialog={"title": "Switch this key on", "form_class": EnableKeyDialog},
    )
    def enable(self, request: HttpRequest, form: KeyDialog, object_id: str) -> HttpResponse:
        unpaid = form.key.unpaid_since is not None
        done = "is not held back by staff any more; it works once it is paid for"
        return _act(
            request, form, enable_key, done=done if unpaid else "is on", before="was on before"
        )

    @action(
        description="Revoke",
        icon="key_off",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={"title": "Revoke this key", "form_class": RevokeKeyDialog},
    )
    def revoke(self, request: HttpRequest, form: KeyDialog, object_id: str) -> HttpResponse:
        return _act(request, form, revoke_key, done="is revoked", before="was revoked before")


def _act(
    request: HttpRequest, form: KeyDialog, act: Callable[..., bool], *, done: str, before: str
) -> HttpResponse:
    key = form.key

    def deed() -> str:
        changed = act(key=key, actor=actor_of(request), reason=form.reason, at=now())
        return f"{key} {done}." if changed else f"{key} {before}: nothing changed."

    return _carried_out(request, form, deed)


def _carried_out(request: HttpRequest, form: KeyDialog, deed: Callable[[], str]) -> HttpResponse:
    key = form.key
    own = reverse("admin:keystore_apikey_change", args=[key.pk])
    holder = key.consumer_id
    pages = [reverse("admin:keystore_consumer_change", args=[holder])] if holder else []
    return carry_out(request, form, deed, back=opened_on(request, pages=pages, otherwise=own))


def hand_over(
    request: HttpRequest, issued: IssuedKey, *, by_link: bool, said: str = ""
) -> HttpResponse:
    """The only answer that ever holds the key's text, or the link to it; it takes the place of
    the whole dialog.
    """
    link = reverse("admin:keystore_apikey_change", args=[issued.key.pk])
    context = {"issued": issued, "link": link, "said": said}
    if by_link:
        context |= {"url": claim_link(issued.key)}
    template = "admin/acts/key_link.html" if by_link else "admin/key_issued.html"
    response = render(request, template, context)
    add_never_cache_headers(response)
    response["HX-Retarget"] = response["HX-Reselect"] = "#dialog"
    return response
