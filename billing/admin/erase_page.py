"""The page on which staff erase a person's data: what goes and what stays is told before."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.erasing import Erasure, blocks_of, erase_consumer
from config.clock import now
from config.errors import DomainError
from keystore.admin import personal
from keystore.admin.dialogs import LONGEST_REASON
from keystore.admin.pages import actor_of
from keystore.admin.stepup import require_step_up
from keystore.models import Consumer

WHAT_FOLLOWS = (
    (
        "Goes",
        "E-mail, name, own id, tags, notes, links to own pages, names in the audit trail.",
    ),
    ("Copies", "Stripe's events and mirrored objects, messages to hooks: names are taken out."),
    ("Keys", "Every key is revoked at once."),
    ("At Stripe", "The customer is deleted with cards and address; charges and invoices stay."),
    ("Stays", "Payments, invoices, refunds, usage and grants, under the con_ id alone."),
    ("Later", "Whoever comes under the same id is a new person."),
    ("Undo", "There is none."),
)


class EraseForm(forms.Form):
    confirmation = forms.CharField(max_length=60, widget=UnfoldAdminTextInputWidget)
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail: name the ticket, not the person.",
    )

    def __init__(self, consumer: Consumer, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._wanted = consumer.public_id
        self.fields["confirmation"].label = f"Type {consumer.public_id}"

    def clean_confirmation(self) -> str:
        if self.cleaned_data["confirmation"].strip() != self._wanted:
            raise ValidationError(f"Type {self._wanted} to confirm that it is this person.")
        return self._wanted


def erase_page(request: HttpRequest, consumer: Consumer) -> HttpResponse:
    """The form; sent with the id typed, it erases."""
    elsewhere = require_step_up(request)
    if elsewhere is not None:
        return elsewhere
    form = EraseForm(consumer, request.POST or None)
    if form.is_valid():
        try:
            erasure = erase_consumer(
                consumer=consumer,
                actor=actor_of(request),
                reason=form.cleaned_data["reason"],
                clock=now,
            )
        except DomainError as refusal:
            form.add_error(None, refusal.message)
        else:
            messages.success(request, _said(erasure))
            return redirect("admin:keystore_consumer_change", consumer.pk)
    context = {
        **admin.site.each_context(request),
        "title": "Erase personal data",
        "opts": Consumer._meta,
        "form": form,
        "consumer": consumer,
        "who": personal.consumer_link(consumer, hide=not personal.sees(request, consumer)),
        "blocks": [] if consumer.erased_at else blocks_of(consumer),
        "sentences": WHAT_FOLLOWS,
    }
    return TemplateResponse(request, "admin/consumer/erase.html", context)


def _said(erasure: Erasure) -> str:
    if not erasure.done:
        return "The personal data was erased before: nothing changed."
    keys = "1 key is" if erasure.keys_revoked == 1 else f"{erasure.keys_revoked} keys are"
    follows = " The customer at Stripe is deleted within a minute." if erasure.customers else ""
    return f"The personal data is erased, and {keys} revoked.{follows}"
