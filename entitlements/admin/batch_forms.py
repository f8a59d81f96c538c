"""The forms in which staff ask for many grants at once."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from config.clock import now
from entitlements.admin.give import MINUTES, USUAL_LENGTH, EndField, ThingForm, instant_field
from entitlements.batch_file import COLUMNS, MOST_BYTES, AskedLine, UnreadableFile, read_lines
from entitlements.batch_wishes import UNLIMITED
from keystore.admin.dialogs import LONGEST_REASON
from keystore.models import Consumer, Project

LONGEST_PASTE = 1_000_000


class WhyForm(forms.Form):
    """What every grant of the batch has in common."""

    deed_reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail, with every grant.",
    )
    ticket = forms.CharField(
        label="Ticket", max_length=100, required=False, widget=UnfoldAdminTextInputWidget
    )


class FileForm(WhyForm):
    """Lines from a file, or pasted."""

    project = forms.ModelChoiceField(
        queryset=Project.objects.order_by("slug"), widget=UnfoldAdminSelectWidget
    )
    file = forms.FileField(label="CSV file", required=False, widget=forms.FileInput)
    pasted = forms.CharField(
        label="or paste the lines",
        required=False,
        max_length=LONGEST_PASTE,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "class": "font-mono"}),
        help_text=f"The first line names the columns: {', '.join(COLUMNS)}.",
    )
    field_order = ("project", "file", "pasted", "deed_reason", "ticket")

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        file, pasted = asked.get("file"), asked.get("pasted", "").strip()
        if bool(file) == bool(pasted):
            raise ValidationError("Choose a file or paste lines, one of the two.")
        try:
            # One byte more than allowed is enough to be refused for its size.
            data = file.read(MOST_BYTES + 1) if file else pasted.encode("utf-8", "surrogatepass")
            asked["lines"] = read_lines(data)
        except UnreadableFile as refusal:
            self.add_error("file" if file else "pasted", refusal.message)
        return asked


class SelectionForm(EndField, WhyForm, ThingForm):
    """The same for each consumer of a selection."""

    until = instant_field("Ends (UTC)")
    field_order = (
        "what",
        "how_much",
        "unlimited",
        "config_value",
        "until",
        "deed_reason",
        "ticket",
    )

    def __init__(self, request: HttpRequest, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request, self.at = request, now()
        self.offer(project)
        self.fields["until"].initial = (self.at + USUAL_LENGTH).strftime(MINUTES)
        if self.may_be_endless():
            self.fields["until"].help_text = "Empty: no end."

    def clean_until(self) -> Any:
        return self.checked_end(self.cleaned_data["until"])

    def lines(self, consumers: list[Consumer]) -> list[AskedLine]:
        asked = self.cleaned_data
        limit = asked["how_much"]
        config = asked["config_value"]
        common = {
            "plan": asked["plan"].code if asked["plan"] else "",
            "feature": asked["feature"].code if asked["feature"] else "",
            "limit": UNLIMITED if asked["unlimited"] else "" if limit is None else str(limit),
            "config": "" if config is None else json.dumps(config),
            "ends": asked["until"].isoformat() if asked["until"] else "",
            "reason": "",
        }
        return [
            AskedLine(number, {"consumer": one.public_id, **common})
            for number, one in enumerate(consumers, start=1)
        ]
