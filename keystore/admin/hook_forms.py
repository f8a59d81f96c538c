"""What staff fill in about hook endpoints."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from keystore.admin.dialogs import ReasonDialog
from keystore.admin.pages import row_or_none
from keystore.admin.stepup import StepUp
from keystore.hook_urls import MAX_LENGTH
from keystore.hooks import MOST_DESCRIPTION
from keystore.models import HookEndpoint, Project
from keystore.outbox import KINDS


class TermsDialog(ReasonDialog):
    """Where to tell, of what, and what for."""

    url = forms.CharField(
        label="URL",
        max_length=MAX_LENGTH,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://"}),
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds",
        choices=[(kind, kind) for kind in KINDS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen: everything, also kinds that come later.",
    )
    description = forms.CharField(
        label="Description",
        max_length=MOST_DESCRIPTION,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )

    @property
    def terms(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("url", "kinds", "description")}


class AddEndpointDialog(StepUp, TermsDialog):
    project = forms.ModelChoiceField(
        label="Project",
        queryset=Project.objects.order_by("slug"),
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["project"])


class EditEndpointDialog(TermsDialog):
    """Begins with the endpoint's present terms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = row_or_none(HookEndpoint.objects.all(), self.object_id)
        for name in ("url", "kinds", "description"):
            self.fields[name].initial = getattr(endpoint, name, None)


class RedeliverDialog(ReasonDialog):
    """Since when; empty: from the beginning."""

    since = forms.DateTimeField(
        label="Told since (UTC)",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text="Empty: all that failed or was dropped.",
    )
