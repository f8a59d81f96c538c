"""The consumer page: who they are, what they may use and why, what they paid, what we did."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action
from unfold.enums import ActionVariant

from billing.admin.consumer.asked import asked_of
from billing.admin.consumer.page import page_of
from billing.admin.consumer_acts import EndsConsumers, IssuesKeys, SignsOut
from billing.admin.consumer_credits import GivesCredits
from billing.admin.consumer_desk import ConsumerDeskAdmin, TagFilter
from billing.admin.consumer_forms import (
    RevokeFeatureDialog,
    RevokeGrantDialog,
    RevokeKeyDialog,
    SyncDialog,
)
from billing.admin.consumer_list import ShowsStanding
from billing.admin.see_as import SeeAs
from billing.desk import sync_now
from billing.search import consumers_matching, the_one_consumer
from config.clock import now
from entitlements.admin import revoke
from entitlements.admin.batches import GIVE_MANY, give_to_selected
from entitlements.admin.give import GIVE, GiveGrantDialog
from entitlements.selectors import feature_by_code
from entitlements.services import revoke_feature
from keystore.admin import personal
from keystore.admin.dialogs import carry_out
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.models import Consumer
from keystore.services import revoke_key

SEE = "keystore.view_consumer"


@admin.register(Consumer)
class ConsumerAdmin(
    ShowsStanding,
    IssuesKeys,
    SignsOut,
    EndsConsumers,
    GivesCredits,
    SeeAs,
    ConsumerDeskAdmin,
    ReadOnlyAdmin,
):
    list_display = (
        *("external_id", "email", "name", "plan", "usage", "project", "public_id"),
        "created_at",
    )
    list_filter = ("project", TagFilter)
    list_select_related = ("project",)
    search_fields = ("external_id",)  # get_search_results decides
    search_help_text = "e-mail, own id, any id of Stripe or ours, invoice number, start of a key"
    ordering = ("-pk",)
    fields = ("external_id", "email", "name", "project", "public_id", "created_at")
    masked_names = {"external_id": "masked_id", "email": "masked_email", "name": "masked_name"}
    change_form_outer_before_template = "admin/consumer/page.html"  # the bare row comes last
    actions_list = ("register",)
    actions = (give_to_selected,)
    actions_detail = (
        "give",
        {
            "title": "Revoke",
            "icon": "block",
            "items": ["end_grant", "take_feature", "end_key"],
        },
        "sync",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": [
                "issue_key",
                "give_credits",
                "take_credits",
                "see_as",
                "sign_out",
                "add_note",
                "remove_note",
                "set_tags",
                "merge",
                "erase",
            ],
        },
    )
    has_give_many_permission = holds(GIVE_MANY, SEE)
    has_give_permission = holds("entitlements.give_grant", SEE)
    has_take_permission = holds("entitlements.revoke_grant", SEE)
    has_end_key_permission = holds("keystore.revoke_apikey", SEE)
    has_sync_permission = holds("billing.sync_stripecustomer", SEE)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Consumer], search_term: str
    ) -> tuple[QuerySet[Consumer], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = consumers_matching(term=term, with_email=personal.may_see(request))
        return queryset.filter(pk__in=found.values("pk")), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who searches for exactly one consumer is led to its page."""
        if set(request.GET) == {"q"} and self.has_view_permission(request):
            term = request.GET["q"].strip()
            hit = the_one_consumer(term=term, with_email=personal.may_see(request))
            if hit is not None:
                return redirect(page_url(str(hit.pk)))
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        consumer = self.get_object(request, object_id)
        context = {**(extra_context or {})}
        if consumer is not None and self.has_view_permission(request, consumer):
            if consumer.merged_into_id is not None:
                messages.info(request, f"{consumer.public_id} was merged into this consumer.")
                return redirect(page_url(str(consumer.merged_into_id)))
            hide = not personal.sees(request, consumer)
            context["subtitle"] = (
                personal.masked(consumer.external_id) if hide else consumer.external_id
            )
            context["who"] = {
                "email": self.masked_email(consumer) if hide else consumer.email,
                "name": self.masked_name(consumer) if hide else consumer.name,
                "also": [
                    personal.masked(one.external_id) if hide else one.external_id
                    for one in consumer.merged_from.filter(erased_at=None).order_by("pk")
                ],
            }
            context["page_is_masked"] = hide  # reasons and notes may quote an address
            context["page"] = page_of(
                consumer=consumer, user=request.user, at=now(), asked=asked_of(request.GET)
            )
        return super().change_view(request, object_id, form_url, context)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        row = {"fields": self.get_fields(request, obj), "classes": ("collapse",)}
        return [("The row itself", row)]

    @admin.display(description="external id", ordering="external_id")
    def masked_id(self, consumer: Consumer) -> str:
        return personal.masked(consumer.external_id)

    @admin.display(description="e-mail")
    def masked_email(self, consumer: Consumer) -> str:
        return personal.masked(consumer.email)

    @admin.display(description="name")
    def masked_name(self, consumer: Consumer) -> str:
        return f"{consumer.name[:1]}***" if consumer.name else ""

    @action(
        description="Give a grant",
        icon="add_circle",
        variant=ActionVariant.PRIMARY,
        permissions=["give"],
        dialog={**GIVE, "form_class": GiveGrantDialog, "form_submit_text": "Preview"},
    )
    def give(self, request: HttpRequest, form: GiveGrantDialog, object_id: str) -> HttpResponse:
        if not form.was_shown():
            return form.show(request, GIVE, "Give")
        return carry_out(
            request, form, lambda: form.give(actor_of(request)), back=page_url(object_id)
        )

    @action(
        description="Revoke a grant",
        permissions=["take"],
        dialog={
            "title": "Revoke a grant",
            "description": "Grants that staff or the API gave. Others end with what was bought.",
            "form_class": RevokeGrantDialog,
        },
    )
    def end_grant(
        self, request: HttpRequest, form: RevokeGrantDialog, object_id: str
    ) -> HttpResponse:
        return carry_out(
            request, form, lambda: revoke(form.grant, form, request), back=page_url(object_id)
        )

    @action(
        description="Take a feature away",
        permissions=["take"],
        dialog={
            "title": "Take a feature away",
            "description": "Whatever opened it until now. A grant given later opens it again.",
            "form_class": RevokeFeatureDialog,
        },
    )
    def take_feature(
        self, request: HttpRequest, form: RevokeFeatureDialog, object_id: str
    ) -> HttpResponse:
        return carry_out(
            request, form, lambda: _take(form, actor_of(request)), back=page_url(object_id)
        )

    @action(
        description="Revoke a key",
        permissions=["end_key"],
        dialog={
            "title": "Revoke a key",
            "description": "Whoever holds it is refused from now on. This cannot be undone.",
            "form_class": RevokeKeyDialog,
        },
    )
    def end_key(self, request: HttpRequest, form: RevokeKeyDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            key = form.key
            done = revoke_key(key=key, actor=actor_of(request), reason=form.reason, at=now())
            return f"{key} is revoked." if done else f"{key} was revoked before: nothing changed."

        return carry_out(request, form, deed, back=page_url(object_id))

    @action(
        description="Sync with Stripe",
        icon="sync",
        permissions=["sync"],
        dialog={
            "title": "Sync with Stripe now",
            "description": "Reads everything that Stripe has of this customer and follows it.",
            "form_class": SyncDialog,
        },
    )
    def sync(self, request: HttpRequest, form: SyncDialog, object_id: str) -> HttpResponse:
        consumer = row_or_404(Consumer.objects.all(), object_id)

        def deed() -> str:
            return sync_now(
                consumer=consumer, actor=actor_of(request), reason=form.reason, clock=now
            )

        return carry_out(request, form, deed, back=page_url(object_id))


def page_url(object_id: str) -> str:
    return reverse("admin:keystore_consumer_change", args=[object_id])


def _take(form: RevokeFeatureDialog, actor: str) -> str:
    code = form.cleaned_data["which_feature"]
    revocation = revoke_feature(
        consumer=form.consumer,
        feature=feature_by_code(project=form.consumer.project, code=code),
        reason=form.reason,
        revoked_by=actor,
        idempotency_key=form.cleaned_data["wish"],
        actor=actor,
        at=now(),
    )
    if not revocation.changed:
        return f"{code} was not open: nothing changed."
    ended = f"{len(revocation.ended)} grants ended"
    part = revocation.denial or revocation.ended[0]
    return format_html(
        '{} is closed: {}{}. <a class="font-semibold underline" href="{}">Undo</a>',
        code,
        ended,
        ", and it is denied" if revocation.denial else "",
        reverse("admin:entitlements_grant_undo", args=[part.pk]),
    )
