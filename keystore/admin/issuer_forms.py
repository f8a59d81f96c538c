"""What staff fill in about whose tokens a project accepts."""

from datetime import timedelta
from typing import Any

from django import forms
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from keystore.admin.dialogs import ReasonDialog
from keystore.admin.stepup import StepUp
from keystore.hook_urls import MAX_LENGTH
from keystore.issuers import LONGEST_NAME, LONGEST_SECRET
from keystore.models import Algorithm, Project

OVERLAPS = [("24", "24 hours"), ("168", "7 days"), ("1", "1 hour"), ("0", "not at all: it leaked")]
LONGEST_PASTED = 20_000


def secret_field(help_text: str) -> forms.CharField:
    return forms.CharField(
        label="Secret",
        max_length=LONGEST_SECRET,
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=help_text,
    )


class AddIssuerDialog(StepUp, ReasonDialog):
    project = forms.ModelChoiceField(
        label="Project", queryset=Project.objects.order_by("slug"), widget=UnfoldAdminSelectWidget
    )
    issuer = forms.CharField(
        label="Issuer (iss)", max_length=LONGEST_NAME, widget=UnfoldAdminTextInputWidget
    )
    audience = forms.CharField(
        label="Audience (aud)", max_length=LONGEST_NAME, widget=UnfoldAdminTextInputWidget
    )
    algorithm = forms.ChoiceField(
        label="Signed with", choices=Algorithm.choices, widget=UnfoldAdminSelectWidget
    )
    token_secret = secret_field("HS256 only. Empty: one is made and shown once.")
    jwks_url = forms.CharField(
        label="Address of the key set",
        max_length=MAX_LENGTH,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://"}),
        help_text="RS256 and ES256 only. It is read before anything is stored.",
    )
    roles_claim = forms.CharField(
        label="Claim with the roles",
        max_length=100,
        initial="roles",
        widget=UnfoldAdminTextInputWidget,
        help_text="A dot looks into an object: realm_access.roles",
    )
    admin_role = forms.CharField(
        label="Role of the project's administrators",
        max_length=100,
        initial="admin",
        widget=UnfoldAdminTextInputWidget,
    )

    @property
    def terms(self) -> dict[str, Any]:
        names = ("project", "issuer", "audience", "algorithm", "jwks_url")
        told = {name: self.cleaned_data[name] for name in (*names, "roles_claim", "admin_role")}
        return {**told, "secret": self.cleaned_data["token_secret"]}


class RollIssuerDialog(StepUp, ReasonDialog):
    token_secret = secret_field("Empty: one is made and shown once.")
    old_is_good_for = forms.ChoiceField(
        label="The old one is good for", choices=OVERLAPS, widget=UnfoldAdminSelectWidget
    )

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["old_is_good_for"]))


class TryTokenDialog(BaseDialogForm):
    """Nothing is changed, so nobody is asked why."""

    token = forms.CharField(
        label="Token",
        max_length=LONGEST_PASTED,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "autocomplete": "off"}),
        help_text="Looked at and forgotten: neither stored nor logged.",
    )
