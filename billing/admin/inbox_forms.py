"""What staff fill in to replay a range of events, and to sweep Stripe's list."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.forms.widgets import DateTimeInput
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.models import InboxState
from billing.replays import Choice
from keystore.admin.dialogs import LONGEST_REASON

MOST_IDS = 1000


class Instant(DateTimeInput):
    """A day and time in UTC, with the browser's own picker."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        classes = UnfoldAdminTextInputWidget().attrs["class"]
        super().__init__(attrs={"class": classes, "step": 60}, format="%Y-%m-%dT%H:%M")


class ReasonForm(forms.Form):
    deed_reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail.",
    )


class RangeForm(ReasonForm):
    """Which events; each condition narrows the choice."""

    type = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For example invoice.paid. Empty: every type.",
    )
    state = forms.ChoiceField(
        required=False,
        choices=[("", "every state"), *InboxState.choices],
        widget=UnfoldAdminSelectWidget(),
    )
    failure = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget(), label="Failure"
    )
    since = forms.DateTimeField(required=False, widget=Instant(), label="Received from (UTC)")
    until = forms.DateTimeField(required=False, widget=Instant(), label="Received until (UTC)")
    event_ids = forms.CharField(required=False, widget=forms.HiddenInput())
    field_order = ("type", "state", "failure", "since", "until", "deed_reason", "event_ids")

    def clean_event_ids(self) -> list[str]:
        return str(self.cleaned_data["event_ids"]).split()[:MOST_IDS]

    def choice(self) -> Choice:
        asked: dict[str, Any] = self.cleaned_data
        return Choice(
            event_ids=asked["event_ids"],
            type=asked["type"].strip(),
            state=asked["state"],
            failure=asked["failure"],
            since=_in_utc(asked["since"]),
            until=_in_utc(asked["until"]),
        )


class SweepForm(ReasonForm):
    days = forms.IntegerField(
        min_value=1,
        max_value=30,
        initial=3,
        label="Days back",
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Stripe keeps its events for 30 days.",
    )
    field_order = ("days", "deed_reason")


def _in_utc(asked: datetime | None) -> datetime | None:
    return asked.replace(tzinfo=UTC) if asked is not None and asked.tzinfo is None else asked
