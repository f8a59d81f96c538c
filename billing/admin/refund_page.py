"""The page on which staff give money back: what will follow is told before the click."""

import uuid
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.admin.refund_words import sentences_of
from billing.models import AfterRefund, Payment, RefundRequest, RequestState
from billing.money import NotAnAmount, minor_of, shown, typed
from billing.refund_blocks import left_minor
from billing.refund_desk import LONGEST_REASON, LONGEST_TICKET, RefundWish, request_refund
from billing.refund_preview import RefundPreview, paid_for, preview_refund
from billing.refunds import REASONS
from config.clock import now
from config.errors import DomainError
from keystore.admin import personal
from keystore.admin.stepup import require_step_up

AFTERWARDS = [
    (AfterRefund.KEEP, "Keep the subscription"),
    (AfterRefund.CANCEL_AT_PERIOD_END, "Cancel it at the end of the period"),
    (AfterRefund.CANCEL_NOW, "Cancel it now"),
]


class RefundForm(forms.Form):
    """Asks only what can be answered for this payment; `previewing` demands no reason yet."""

    amount = forms.CharField(widget=UnfoldAdminTextInputWidget, max_length=20)
    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail; the buyer does not see it.",
    )
    stripe_reason = forms.ChoiceField(
        label="Reason for Stripe",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Fraudulent also puts card and e-mail address on Stripe's block lists.",
    )
    ticket = forms.CharField(
        required=False, max_length=LONGEST_TICKET, widget=UnfoldAdminTextInputWidget
    )
    after = forms.ChoiceField(
        label="Afterwards", choices=AFTERWARDS, widget=UnfoldAdminSelectWidget
    )
    ends_access = forms.BooleanField(
        label="End access although only a part goes back",
        required=False,
        widget=UnfoldBooleanWidget,
    )
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(self, payment: Payment, *args: Any, previewing: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.payment = payment
        bought = paid_for(payment)
        self.fields["amount"].label = f"Amount in {payment.currency.upper()}"
        self.fields["amount"].initial = typed(left_minor(payment), payment.currency)
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"
        words = [(word, word.replace("_", " ").capitalize()) for word in sorted(REASONS)]
        stripe_reason = cast(forms.ChoiceField, self.fields["stripe_reason"])
        stripe_reason.choices = [("", "None"), *words]
        self.fields["reason"].required = not previewing
        if bought.subscription is None:
            del self.fields["after"]
        if bought.purchase is None:
            del self.fields["ends_access"]

    def clean_amount(self) -> int:
        try:
            return minor_of(self.cleaned_data["amount"], self.payment.currency)
        except NotAnAmount as problem:
            raise ValidationError(problem.message) from problem

    def preview(self, person: Any) -> RefundPreview:
        """Of what is filled in, or of the whole rest while that makes no sense."""
        asked = self.cleaned_data if self.is_bound else {}
        return preview_refund(
            payment=self.payment,
            amount_minor=asked.get("amount", left_minor(self.payment)),
            after=asked.get("after", AfterRefund.KEEP),
            ends_access=asked.get("ends_access", False),
            at=now(),
            person=person,
        )

    @property
    def asked(self) -> RefundWish:
        given = self.cleaned_data
        return RefundWish(
            key=given["wish"],
            amount_minor=given["amount"],
            reason=given["reason"],
            stripe_reason=given["stripe_reason"],
            ticket=given["ticket"],
            after=given.get("after", AfterRefund.KEEP),
            ends_access=given.get("ends_access", False),
        )


def refund_page(request: HttpRequest, payment: Payment) -> HttpResponse:
    """The form with its preview; sent, it makes the request and leads to its page."""
    elsewhere = require_step_up(request)
    if elsewhere is not None:
        return elsewhere
    previewing = request.POST.get("act") == "preview"
    form = RefundForm(payment, request.POST or None, previewing=previewing)
    if form.is_valid() and not previewing:
        made = _ask(request, form)
        if made is not None:
            return redirect("admin:billing_refundrequest_change", made.pk)
    preview = form.preview(request.user)
    hide = not personal.may_see(request)
    context = {
        **admin.site.each_context(request),
        "title": "Refund a payment",
        "opts": Payment._meta,
        "form": form,
        "payment": payment,
        "buyer": personal.consumer_link(payment.consumer, hide=hide),
        "captured": shown(payment.captured_minor, payment.currency),
        "left": shown(preview.left_minor, payment.currency),
        "sentences": sentences_of(preview),
        "blocks": preview.blocks,
    }
    return TemplateResponse(request, "admin/refund/form.html", context)


def _ask(request: HttpRequest, form: RefundForm) -> RefundRequest | None:
    """The request, or None with the refusal on the form."""
    try:
        made = request_refund(
            payment=form.payment, wish=form.asked, person=cast(User, request.user), at=now()
        )
    except DomainError as refusal:
        form.add_error(None, refusal.message)
        return None
    amount = shown(made.amount_minor, made.currency)
    if made.state == RequestState.AWAITING:
        until = f"{made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else "it expires"
        messages.info(
            request,
            f"{amount} waits until {until} for somebody else who may agree to refunds: no money "
            "has moved. They find it on the first page.",
        )
    else:
        messages.success(request, f"{amount} is on its way back. The steps are below.")
    return made
