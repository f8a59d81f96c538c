"""What staff do for a consumer as a whole: issue a key, sign them out, merge and erase them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from unfold.decorators import action

from billing.admin.erase_page import erase_page
from billing.admin.merge_page import merge_page
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import ConsumerDialog, carry_out
from keystore.admin.key_acts import hand_over
from keystore.admin.key_forms import LINK, IssueConsumerKeyDialog
from keystore.admin.pages import actor_of, holds, row_or_404
from keystore.issuers import sign_out
from keystore.keyrows import IssuedKey
from keystore.models import Consumer
from keystore.services import issue_key, issue_key_to_collect

ROWS = Consumer.objects.select_related("project", "merged_into")


class SignsOut:
    """Mixed into the consumer page."""

    has_sign_out_permission: Any = holds("keystore.sign_out_consumer", "keystore.view_consumer")

    @action(
        description="Sign out everywhere",
        icon="logout",
        permissions=["sign_out"],
        dialog={
            "title": "Sign this consumer out",
            "description": "Every token given out until now is refused; keys go on working.",
            "form_class": ConsumerDialog,
        },
    )
    def sign_out(self, request: HttpRequest, form: ConsumerDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            sign_out(consumer=form.consumer, actor=actor_of(request), reason=form.reason, at=now())
            return f"{form.consumer} was signed out."

        back = reverse("admin:keystore_consumer_change", args=[object_id])
        return carry_out(request, form, deed, back=back)


class IssuesKeys:
    """Mixed into the consumer page."""

    has_issue_key_permission: Any = holds("keystore.issue_apikey", "keystore.view_consumer")

    @action(
        description="Issue a key",
        icon="key",
        permissions=["issue_key"],
        dialog={
            "title": "Issue a key",
            "description": "One that was not bought. What it opens is what the consumer may use.",
            "form_class": IssueConsumerKeyDialog,
        },
    )
    def issue_key(
        self, request: HttpRequest, form: IssueConsumerKeyDialog, object_id: str
    ) -> HttpResponse:
        by_link = form.cleaned_data["handover"] == LINK
        try:
            issued = _issue(form, actor_of(request), claimable=by_link)
        except DomainError as refusal:
            form.add_error("deed_reason", refusal.message)
            return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
        return hand_over(request, issued, by_link=by_link)


class EndsConsumers:
    """Mixed into the consumer page: each act has a page that tells what will follow."""

    has_merge_permission: Any = holds("keystore.merge_consumer", "keystore.view_consumer")
    has_erase_permission: Any = holds("keystore.erase_consumer", "keystore.view_consumer")

    @action(description="Merge into another", icon="merge", permissions=["merge"])
    def merge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return merge_page(request, row_or_404(ROWS.all(), object_id))

    @action(description="Erase personal data", icon="person_off", permissions=["erase"])
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return erase_page(request, row_or_404(ROWS.all(), object_id))


def _issue(form: IssueConsumerKeyDialog, actor: str, *, claimable: bool) -> IssuedKey:
    asked, at = form.cleaned_data, now()
    issue = issue_key_to_collect if claimable else issue_key
    return issue(
        project=form.consumer.project,
        owner=form.consumer,
        api=asked["key_api"],
        name=asked["key_name"],
        environment=asked["key_environment"],
        scopes=asked["key_scopes"],
        allowed_cidrs=asked["key_networks"],
        expires_at=form.expires_at(at),
        actor=actor,
        reason=form.reason,
        at=at,
    )
