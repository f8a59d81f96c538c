"""Grants: those that are live, ended or about to end; renewing, revoking, taking that back."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from config.clock import now
from config.errors import DomainError
from entitlements.admin.give import RENEW, EndGrantDialog, RenewGrantDialog
from entitlements.admin.told import what_of
from entitlements.grants import RENEW_FOR, UNDO_FOR
from entitlements.models import Grant
from entitlements.services import restore_grant, revoke_grant
from entitlements.taking import give_feature_back, taken_at
from keystore.admin.dialogs import LONGEST_REASON, ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404, row_or_none

SOON = timedelta(days=7)
SEE = "entitlements.view_grant"
STATE_COLOURS = {
    "live": "success",
    "denies": "warning",
    "not started": "info",
    "ended": "",
    "revoked": "danger",
}


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


def acts_of(grant: Grant, at: datetime) -> list[str]:
    """The acts that fit the grant's state: names of GrantAdmin's actions."""
    if grant.source_ref != grant.public_id:
        return []  # it follows a subscription or purchase
    if grant.revoked_at is not None:
        return ["undo"] if at - grant.revoked_at < UNDO_FOR else []
    if grant.effect == "deny":
        return ["revoke", "undo"] if at - grant.valid_from < UNDO_FOR else ["revoke"]
    if grant.valid_to is None:
        return ["revoke"]
    if grant.valid_to <= at:
        return ["renew"] if grant.valid_to + RENEW_FOR > at else []
    return ["renew", "revoke"]


class StateFilter(admin.SimpleListFilter):
    """Whether grants count now, and which of them end soon and follow no sale."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("live", "Live"),
            ("expiring", "Expiring this week"),
            ("later", "Not started"),
            ("ended", "Ended"),
            ("ended_lately", "Ended this week"),
            ("revoked", "Revoked"),
        ]

    def queryset(self, request: HttpRequest, rows: QuerySet[Grant]) -> QuerySet[Grant] | None:
        at = now()
        open_ones = rows.filter(revoked_at=None)
        chosen: dict[str | None, QuerySet[Grant]] = {
            "live": open_ones.filter(Q(valid_to=None) | Q(valid_to__gt=at), valid_from__lte=at),
            "expiring": expiring(open_ones, at),
            "later": open_ones.filter(valid_from__gt=at),
            "ended": open_ones.filter(valid_to__lte=at),
            "ended_lately": open_ones.filter(valid_to__lte=at, valid_to__gt=at - SOON),
            "revoked": rows.exclude(revoked_at=None),
        }
        return chosen.get(self.value())


def expiring(rows: QuerySet[Grant], at: datetime) -> QuerySet[Grant]:
    """Grants in force that end within a week; what follows a sale renews by itself."""
    given = rows.filter(source__in=("staff", "trial"), revoked_at=None)
    return given.filter(valid_from__lte=at, valid_to__gt=at, valid_to__lte=at + SOON)


class GrantAdmin(ReadOnlyAdmin):
    list_display: tuple[str, ...] = (
        "public_id",
        "who",
        "what",
        "state",
        "given_by",
        "valid_to",
    )
    list_filter = (
        StateFilter,
        "project",
        "source",
        "effect",
        ("valid_to", DayFilter),
        ("revoked_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("consumer", "plan", "feature", "project")
    search_fields = (
        "public_id",
        "source_ref",
        "ticket",
        "granted_by",
        "consumer__public_id",
        "consumer__external_id",
    )
    search_help_text = "grant_ id, source (sub_, pi_), ticket, giver, consumer"
    list_fullwidth = True
    fields: tuple[str, ...] = (
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
        "ticket",
        "granted_by",
        "project",
        "created_at",
    )
    actions_detail = ("renew", "revoke", "undo")
    has_revoke_permission = holds("entitlements.revoke_grant", SEE)
    has_renew_permission = holds("entitlements.renew_grant", SEE)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        soonest_first = request.GET.get(StateFilter.parameter_name) == "expiring"
        return ("valid_to", "pk") if soonest_first else ("-pk",)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only the acts that fit the grant's state."""
        grant = row_or_none(Grant.objects.all(), object_id)
        fitting = acts_of(grant, now()) if grant else []
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if one.action_name.rpartition("_")[2] in fitting]

    @display(description="state", label=STATE_COLOURS)
    def state(self, grant: Grant) -> str:
        return state_of(grant)

    @admin.display(description="what", ordering="plan__code")
    def what(self, grant: Grant) -> str:
        return str(grant.plan or grant.feature)

    @admin.display(description="given by", ordering="granted_by")
    def given_by(self, grant: Grant) -> str:
        """Who gave it with which ticket, or the sale that it follows."""
        if grant.source_ref != grant.public_id:
            return str(grant.get_source_display())
        giver = grant.granted_by.removeprefix("staff:")
        return f"{giver}, {grant.ticket}" if grant.ticket else giver

    @action(
        description="Renew",
        icon="update",
        variant=ActionVariant.PRIMARY,
        permissions=["renew"],
        dialog={**RENEW, "form_class": RenewGrantDialog, "form_submit_text": "Preview"},
    )
    def renew(self, request: HttpRequest, form: RenewGrantDialog, object_id: str) -> HttpResponse:
        if not form.was_shown():
            return form.show(request, RENEW, "Renew")
        return carry_out(
            request, form, lambda: form.renew(request), back=_back(request, form.grant)
        )

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={
            "title": "Revoke this grant",
            "description": "It ends at once. You can undo that for 10 minutes.",
            "form_class": EndGrantDialog,
            "form_submit_text": "Revoke",
        },
    )
    def revoke(self, request: HttpRequest, form: EndGrantDialog, object_id: str) -> HttpResponse:
        return carry_out(
            request,
            form,
            lambda: revoke(form.grant, form, request),
            back=_back(request, form.grant),
        )

    @action(description="Undo", icon="undo", permissions=["revoke"])
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page of its own, since a message leads here."""
        rows = Grant.objects.select_related("consumer", "plan", "feature")
        grant = row_or_404(rows, object_id)
        reason = request.POST.get("deed_reason", "").strip()[:LONGEST_REASON]
        refusal = ""
        if request.method == "POST" and reason:
            try:
                return self._restore(request, grant, reason)
            except DomainError as refused:
                refusal = refused.message
        return self._ask_why(request, grant, refusal)

    def _restore(self, request: HttpRequest, grant: Grant, reason: str) -> HttpResponse:
        # A second click finds the grant as the first one left it: it is not to be undone again.
        instant = str(taken_at(grant))
        if request.POST.get("instant", instant) != instant:
            said = f"{what_of(grant)} ({grant.public_id}) was changed before: nothing changed."
        else:
            said = restored(grant, reason, actor_of(request))
        messages.success(request, said)
        return HttpResponseRedirect(_consumer_url(grant))

    def _ask_why(self, request: HttpRequest, grant: Grant, refusal: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Undo",
            "grant": grant,
            "what": what_of(grant),
            "refusal": refusal,
            "asked_before": request.method == "POST" and not refusal,
            "ended_at": taken_at(grant),
            "instant": str(taken_at(grant)),
            "until": (taken_at(grant) or now()) + UNDO_FOR,
            "back": _consumer_url(grant),
        }
        return TemplateResponse(request, "admin/grant/undo.html", context)


def restored(grant: Grant, reason: str, actor: str) -> str:
    """Take back the act that ended the grant, or that this denial is part of; what to tell."""
    what = f"{what_of(grant)} ({grant.public_id})"
    denies_again = grant.effect == "deny" and grant.revoked_at is not None
    if grant.feature is None or denies_again:
        done = restore_grant(grant=grant, actor=actor, reason=reason, at=now())
        return f"{what} is in force again." if done else f"{what} is not revoked: nothing changed."
    undone = give_feature_back(part=grant, reason=reason, actor=actor, at=now())
    if not undone.changed:
        return f"{what} is not revoked: nothing changed."
    if undone.denial is None and len(undone.ended) == 1:
        return f"{what} is in force again."
    grants = f"{len(undone.ended)} grants are in force again"
    ended = ", the denial has ended" if undone.denial else ""
    return f"{grant.feature.code} is as it was: {grants}{ended}."


def revoke(grant: Grant, form: ReasonDialog, request: HttpRequest) -> str:
    """End the grant for the dialog's reason; what to tell whoever asked, with a way back."""
    done = revoke_grant(grant=grant, reason=form.reason, actor=actor_of(request), at=now())
    if not done:
        return f"{grant.public_id} was revoked before: nothing changed."
    undo = reverse("admin:entitlements_grant_undo", args=[grant.pk])
    said = '{} is revoked. <a class="font-semibold underline" href="{}">Undo</a>'
    return format_html(said, grant.public_id, undo)


def _back(request: HttpRequest, grant: Grant) -> str:
    """To the page that the dialog was opened on."""
    if request.GET.get("from") == "consumer":
        return _consumer_url(grant)
    return reverse("admin:entitlements_grant_change", args=[grant.pk])


def acts_linked(grant: Grant, user: Any, at: datetime) -> Iterator[tuple[str, str, bool]]:
    """Title and address of each act that the user may do now; whether it opens as a dialog."""
    titles = {"renew": "Renew", "revoke": "Revoke", "undo": "Undo"}
    for act in acts_of(grant, at):
        needed = "entitlements.renew_grant" if act == "renew" else "entitlements.revoke_grant"
        if user.has_perms((needed, SEE)):
            url = reverse(f"admin:entitlements_grant_{act}", args=[grant.pk])
            yield titles[act], url, act != "undo"


def _consumer_url(grant: Grant) -> str:
    return reverse("admin:keystore_consumer_change", args=[grant.consumer_id])
