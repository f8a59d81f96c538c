"""The dialogs in which staff give a grant, renew it and end it."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from config.clock import now
from config.errors import DomainError
from entitlements.admin.previewed import PreviewedDialog
from entitlements.admin.told import Preview, preview_of, until, what_of
from entitlements.grants import check_grant, check_renewal
from entitlements.models import Feature, FeatureKind, Grant, GrantSource, Plan
from entitlements.outlook import outlook_of_end, outlook_of_gift, outlook_of_renewal
from entitlements.selectors import features_of
from entitlements.services import give_grant, renew_grant
from keystore.admin.dialogs import ConsumerDialog, ReasonDialog
from keystore.admin.pages import actor_of, row_or_404
from keystore.models import Project

USUAL_LENGTH = timedelta(days=30)
ENDLESS = "entitlements.give_endless_grant"
MINUTES = "%Y-%m-%dT%H:%M"
GIVE = {"title": "Give a grant", "description": "Opens a plan or a feature until it ends."}
RENEW = {"title": "Renew this grant", "description": "It ends later, for a reason of its own."}


class ConfigField(forms.JSONField):
    """JSON that starts empty, not as the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


def ticket_field() -> forms.CharField:
    return forms.CharField(
        label="Ticket",
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where it was asked for.",
    )


def instant_field(label: str, help_text: str = "") -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label,
        required=False,
        input_formats=[MINUTES],
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text=help_text,
    )


class ThingForm(forms.Form):
    """A plan or a feature of one project, and how much of it. Set `project` before it is filled."""

    what = forms.ChoiceField(label="Plan or feature", widget=UnfoldAdminSelectWidget)
    how_much = forms.IntegerField(
        label="Limit",
        min_value=0,
        max_value=2**63 - 1,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
        help_text="For features with a limit.",
    )
    unlimited = forms.BooleanField(label="Unlimited", required=False, widget=UnfoldBooleanWidget)
    config_value = ConfigField(
        label="Config value",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="JSON, for features of kind config.",
    )

    def offer(self, project: Project) -> None:
        plans = Plan.objects.filter(project=project).order_by("rank", "code")
        features = features_of(project=project)
        self.fields["what"].choices = [  # type: ignore[attr-defined]
            ("", "Choose..."),
            ("Plans", [(f"plan:{plan.pk}", str(plan)) for plan in plans]),
            ("Features", [(f"feature:{one.pk}", f"{one.code} ({one.kind})") for one in features]),
        ]

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        kind, _, pk = asked.get("what", "").partition(":")
        asked["plan"] = Plan.objects.get(pk=pk) if kind == "plan" else None
        asked["feature"] = Feature.objects.get(pk=pk) if kind == "feature" else None
        limited = asked["feature"] is not None and asked["feature"].kind == FeatureKind.LIMIT
        if limited and (asked.get("how_much") is None) != bool(asked.get("unlimited")):
            self.add_error("how_much", "Give a limit or tick unlimited, one of the two.")
        if asked.get("unlimited") and not limited:
            self.add_error("unlimited", "Only a feature with a limit can be unlimited.")
        return asked


class EndField:
    """Whether whoever asks may leave the end open, and what an end must be."""

    at: datetime
    request: HttpRequest

    def may_be_endless(self) -> bool:
        return bool(self.request.user.has_perm(ENDLESS))

    def checked_end(self, end: datetime | None) -> datetime | None:
        if end is None and not self.may_be_endless():
            raise ValidationError("Say when the grant ends: you may not give one without end.")
        if end is not None and end <= self.at:
            raise ValidationError("The end must be in the future.")
        return end


class GiveGrantDialog(EndField, PreviewedDialog, ThingForm, ConsumerDialog):
    """What to open, how much of it, from when and until when."""

    starts = instant_field("Starts (UTC)", "Empty: now.")
    until = instant_field("Ends (UTC)")
    ticket = ticket_field()
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)  # a double click is one wish

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = now()
        self.offer(self.consumer.project)
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"
        self.fields["until"].initial = (self.at + USUAL_LENGTH).strftime(MINUTES)
        if self.may_be_endless():
            self.fields["until"].help_text = "Empty: no end."
        names = ["what", "how_much", "unlimited", "config_value", "starts", "until", "ticket"]
        self.order_fields([*names, "deed_reason"])

    def clean_until(self) -> datetime | None:
        return self.checked_end(self.cleaned_data["until"])

    def clean_starts(self) -> datetime | None:
        """Not in the past: nobody had then what is given now."""
        starts: datetime | None = self.cleaned_data["starts"]
        if starts is not None and starts < self.at.replace(second=0, microsecond=0):
            raise ValidationError("The start has passed: leave it empty to start now.")
        return starts

    def clean(self) -> dict[str, Any]:
        asked = super().clean()
        starts, until = asked.get("starts"), asked.get("until")
        if starts and until and until <= starts:
            self.add_error("until", "The end must be later than the start.")
        elif not self.errors:
            try:
                check_grant(self.grant())
            except DomainError as refusal:
                self.add_error("what", refusal.message)
        return asked

    def grant(self) -> Grant:
        """The grant that is asked for, not saved."""
        asked = self.cleaned_data
        return Grant(
            consumer=self.consumer,
            plan=asked["plan"],
            feature=asked["feature"],
            limit=asked["how_much"],
            config=asked["config_value"],
            valid_from=asked["starts"] or self.at,
            valid_to=asked["until"],
            source=GrantSource.STAFF,
        )

    def wish_shown(self) -> object:
        asked = self.cleaned_data
        return [
            str(asked[name]) for name in ("what", "how_much", "config_value", "starts", "until")
        ]

    def made_preview(self) -> Preview:
        return preview_of(outlook_of_gift(grant=self.grant(), at=self.at), self.at)

    def give(self, actor: str) -> str:
        """Give it; what to tell whoever did."""
        asked = self.cleaned_data
        grant = give_grant(
            consumer=self.consumer,
            plan=asked["plan"],
            feature=asked["feature"],
            limit=asked["how_much"],
            config=asked["config_value"],
            valid_from=asked["starts"],
            valid_to=asked["until"],
            reason=self.reason,
            ticket=asked["ticket"],
            granted_by=actor,
            idempotency_key=asked["wish"],
            actor=actor,
            at=now(),
        )
        when = "opens later" if asked["starts"] and asked["starts"] > self.at else "is open"
        return f"{grant.plan or grant.feature} {when} {until(grant.valid_to)} ({grant.public_id})."


class GrantDialog(ReasonDialog):
    """A dialog about one grant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = now()
        rows = Grant.objects.select_related("consumer", "plan", "feature")
        self.grant: Grant = row_or_404(rows, self.object_id)


class RenewGrantDialog(EndField, PreviewedDialog, GrantDialog):
    """Until when the grant goes on, and why."""

    until = instant_field("Ends (UTC)")
    ticket = ticket_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = max(self.grant.valid_to or self.at, self.at)
        self.fields["until"].initial = (last + USUAL_LENGTH).strftime(MINUTES)
        if self.may_be_endless():
            self.fields["until"].help_text = "Empty: no end."
        self.order_fields(["until", "ticket", "deed_reason"])

    def clean_until(self) -> datetime | None:
        end = self.checked_end(self.cleaned_data["until"])
        try:
            check_renewal(self.grant, end, self.at)
        except DomainError as refusal:
            raise ValidationError(refusal.message) from refusal
        return end

    def wish_shown(self) -> object:
        return str(self.cleaned_data["until"])

    def made_preview(self) -> Preview:
        end = self.cleaned_data["until"]
        return preview_of(outlook_of_renewal(grant=self.grant, valid_to=end, at=self.at), self.at)

    def renew(self, request: HttpRequest) -> str:
        """Renew it; what to tell whoever did."""
        done = renew_grant(
            grant=self.grant,
            valid_to=self.cleaned_data["until"],
            reason=self.reason,
            ticket=self.cleaned_data["ticket"],
            actor=actor_of(request),
            at=now(),
        )
        told = f"{what_of(self.grant)} goes on {until(self.grant.valid_to)}"
        return f"{told}." if done else f"{told}, as before: nothing changed."


class EndGrantDialog(GrantDialog):
    """Why the grant ends; what closes is shown at once."""

    form_before_template = "admin/grant/outlook.html"

    def get_before_template_context(
        self, request: HttpRequest, object_id: int | str | None = None
    ) -> dict[str, Any]:
        outlooks = outlook_of_end(grant=self.grant, at=self.at)
        return {
            "preview": preview_of(outlooks, self.at),
            "title": "What will follow",
            "nothing": "Closes nothing: others give as much, or it is not in force.",
        }
