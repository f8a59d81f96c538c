"""Giving credits to a consumer and taking them back, from its page."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from config.clock import now
from keystore.admin.dialogs import ConsumerDialog, carry_out
from keystore.admin.pages import actor_of, holds
from keystore.admin.stepup import StepUp
from metering.admin.quotas import words
from metering.credits import MOST, USUAL_PRIORITY
from metering.models import CreditPack, Meter
from metering.selectors import credits_of, limited_meters
from metering.services import give_credits, revoke_credits

SEE = "keystore.view_consumer"


class GiveCreditsDialog(StepUp, ConsumerDialog):
    """Of which meter, how much, until when."""

    credit_meter = forms.ChoiceField(label="Meter", widget=UnfoldAdminSelectWidget)
    credit_amount = forms.DecimalField(
        label="Amount",
        min_value=Decimal("0.000000000001"),
        max_value=MOST,
        max_digits=38,
        decimal_places=12,
        widget=UnfoldAdminDecimalFieldWidget,
    )
    credit_end = forms.DateField(
        label="Until",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="The first day (UTC) on which they pay no more. Empty: no end.",
    )
    credit_priority = forms.IntegerField(
        label="Priority",
        min_value=1,
        max_value=255,
        initial=USUAL_PRIORITY,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="1 burns first, 255 last.",
    )
    credit_wish = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["credit_meter"]).choices = [
            ("", "Choose..."),
            *((meter.code, str(meter)) for meter in self._meters()),
        ]
        self.fields["credit_wish"].initial = f"admin:{uuid.uuid4()}"

    def _meters(self) -> list[Meter]:
        return list(limited_meters(project=self.consumer.project))

    @property
    def meter(self) -> Meter:
        code = self.cleaned_data["credit_meter"]
        return next(meter for meter in self._meters() if meter.code == code)

    @property
    def end(self) -> datetime | None:
        day = self.cleaned_data["credit_end"]
        return day and datetime(day.year, day.month, day.day, tzinfo=now().tzinfo)


class TakeCreditsDialog(StepUp, ConsumerDialog):
    """Which of the packs that still pay."""

    which_pack = forms.ChoiceField(label="Credits", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["which_pack"]).choices = [
            ("", "Choose..."),
            *((pack.public_id, _told(pack)) for pack in self._packs()),
        ]

    def _packs(self) -> list[CreditPack]:
        return list(credits_of(consumer=self.consumer).filter(remaining__gt=0, revoked_at=None))

    @property
    def pack(self) -> CreditPack:
        wanted = self.cleaned_data["which_pack"]
        return next(pack for pack in self._packs() if pack.public_id == wanted)


class GivesCredits:
    """Mixed into the consumer page."""

    has_give_credits_permission: Any = holds("metering.give_creditpack", SEE)
    has_take_credits_permission: Any = holds("metering.revoke_creditpack", SEE)

    @action(
        description="Give credits",
        permissions=["give_credits"],
        dialog={
            "title": "Give credits",
            "description": "They pay for what the limit of the plan does not cover.",
            "form_class": GiveCreditsDialog,
        },
    )
    def give_credits(
        self, request: HttpRequest, form: GiveCreditsDialog, object_id: str
    ) -> HttpResponse:
        return carry_out(
            request, form, lambda: _give(form, actor_of(request)), back=_back(object_id)
        )

    @action(
        description="Take credits back",
        variant=ActionVariant.DANGER,
        permissions=["take_credits"],
        dialog={
            "title": "Take credits back",
            "description": "What is left of them. What was spent stays spent.",
            "form_class": TakeCreditsDialog,
        },
    )
    def take_credits(
        self, request: HttpRequest, form: TakeCreditsDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            pack = form.pack
            left = revoke_credits(pack=pack, reason=form.reason, actor=actor_of(request), at=now())
            return f"{words(left)} of {pack.meter} were taken back."

        return carry_out(request, form, deed, back=_back(object_id))


def _give(form: GiveCreditsDialog, actor: str) -> str:
    asked = form.cleaned_data
    pack = give_credits(
        consumer=form.consumer,
        meter=form.meter,
        amount=asked["credit_amount"],
        priority=asked["credit_priority"],
        expires_at=form.end,
        reason=form.reason,
        given_by=actor,
        idempotency_key=asked["credit_wish"],
        actor=actor,
        at=now(),
    )
    return f"{words(pack.amount)} of {pack.meter} were given ({pack.public_id})."


def _told(pack: CreditPack) -> str:
    return f"{pack.meter}: {words(pack.remaining)} of {words(pack.amount)} ({pack.public_id})"


def _back(object_id: str) -> str:
    return reverse("admin:keystore_consumer_change", args=[object_id])
