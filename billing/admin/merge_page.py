"""The page on which staff make two consumers one: what will follow is told before the click."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.merging import Merger, merge_consumers, rehearse_merge
from config.clock import now
from config.errors import DomainError
from keystore.admin import personal
from keystore.admin.dialogs import LONGEST_REASON
from keystore.admin.pages import actor_of
from keystore.admin.stepup import require_step_up
from keystore.models import Consumer
from keystore.selectors import consumer_of, consumers_of
from metering.amounts import shown

MOST_NAMED = 5


class MergeForm(forms.Form):
    """`shown` is whom the preview was about: nobody else is merged by the click that follows."""

    survivor = forms.CharField(
        label="Merge into",
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="The consumer who stays: the whole e-mail address, own id or con_ id.",
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in both audit trails.",
    )
    shown = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(
        self, consumer: Consumer, *args: Any, previewing: bool, with_email: bool, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self._consumer, self._with_email = consumer, with_email
        self.fields["reason"].required = not previewing

    def clean_survivor(self) -> Consumer:
        term = self.cleaned_data["survivor"].strip()
        project = self._consumer.project
        found = consumer_of(project=project, user_id=term)
        if found is not None:
            return found
        hits = []
        if self._with_email and "@" in term:
            named = consumers_of(project=project).filter(email__iexact=term)
            hits = list(named.exclude(pk=self._consumer.pk).order_by("-pk")[: MOST_NAMED + 1])
        if len(hits) == 1:
            return hits[0]
        if hits:
            ids = ", ".join(one.public_id for one in hits[:MOST_NAMED])
            raise ValidationError(f"Several consumers have this address: name one of {ids}.")
        raise ValidationError("There is no such consumer in this project.")


def merge_page(request: HttpRequest, consumer: Consumer) -> HttpResponse:
    """The form with its preview; sent, it merges and leads to the survivor's page."""
    elsewhere = require_step_up(request)
    if elsewhere is not None:
        return elsewhere
    previewing = request.POST.get("act") != "merge"
    form = MergeForm(
        consumer,
        request.POST or None,
        previewing=previewing,
        with_email=personal.may_see(request),
    )
    survivor = form.cleaned_data["survivor"] if form.is_valid() else None
    preview, refusal = None, ""
    if survivor is not None:
        try:
            if not previewing and form.cleaned_data["shown"] == survivor.public_id:
                return _merge(request, form, consumer, survivor)
            preview = rehearse_merge(duplicate=consumer, survivor=survivor, at=now())
        except DomainError as problem:
            refusal = problem.message
    return _shown(request, form, consumer, preview, refusal)


def _merge(
    request: HttpRequest, form: MergeForm, consumer: Consumer, survivor: Consumer
) -> HttpResponse:
    merger = merge_consumers(
        duplicate=consumer,
        survivor=survivor,
        actor=actor_of(request),
        reason=form.cleaned_data["reason"],
        clock=now,
    )
    moved = ", ".join(_moved(merger)) or "there was nothing to move"
    said = f"{consumer.public_id} is merged into this consumer: {moved}."
    if not merger.done:
        said = f"{consumer.public_id} was merged into this consumer before: nothing changed."
    messages.success(request, said)
    return redirect("admin:keystore_consumer_change", survivor.pk)


def _shown(
    request: HttpRequest,
    form: MergeForm,
    consumer: Consumer,
    preview: Merger | None,
    refusal: str,
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Merge into another consumer",
        "opts": Consumer._meta,
        "form": form,
        "consumer": consumer,
        "who": personal.consumer_link(consumer, hide=not personal.sees(request, consumer)),
        "blocks": [refusal] if refusal else preview.blocks if preview else [],
        "sentences": _sentences(request, preview) if preview else [],
        "survivor": preview.survivor if preview else None,
        "may_merge": preview is not None and not preview.blocks and preview.done,
    }
    return TemplateResponse(request, "admin/consumer/merge.html", context)


def _sentences(request: HttpRequest, preview: Merger) -> list[tuple[str, str]]:
    survivor = preview.survivor
    link = personal.consumer_link(survivor, hide=not personal.sees(request, survivor))
    told = [
        ("Who stays", link),
        ("Names", "Whoever asks for either is answered as the one who stays. Keys work on."),
    ]
    if preview.blocks:
        return told
    told.append(("Moves", ", ".join(_moved(preview)) or "nothing"))
    told.append(("Opens", ", ".join(preview.opened) or "nothing that was not open before"))
    for quota in preview.quotas:
        limit = "" if quota.left.limit is None else f" of {shown(quota.left.limit)}"
        told.append((str(quota.meter), f"{shown(quota.left.used)}{limit} used by both together"))
    if preview.left_customer:
        told.append(
            (
                "At Stripe",
                f"{preview.left_customer} is not charged any more; its cards and balance stay "
                "there, and what Stripe says of it is still followed.",
            )
        )
    told.append(("Usage", "Metered usage that Stripe was not told of yet is billed with the rest."))
    told.append(("Undo", "There is none."))
    return told


def _moved(merger: Merger) -> list[str]:
    return [f"{name} ({count})" for name, count in merger.moved.items() if count]
