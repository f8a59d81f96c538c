"""The dialogs in which a key is made, replaced, or switched off and on."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from config.clock import now
from keystore.admin.dialogs import ConsumerDialog, ReasonDialog
from keystore.admin.pages import row_or_404
from keystore.admin.stepup import StepUpDialog
from keystore.limits import MOST_CALLS
from keystore.models import Api, ApiKey, Environment

MAY_SEE = "keystore.issue_apikey"
LINK, SHOW = "link", "show"
ROWS = ApiKey.objects.select_related("consumer", "app", "project", "api")


class KeyDialog(ReasonDialog):
    """A dialog about one key."""

    form_before_template = "admin/acts/follows.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.key: ApiKey = row_or_404(ROWS.all(), self.object_id)

    def follows(self) -> list[str]:
        """What the act will do, in sentences."""
        return []

    def get_before_template_context(self, request: Any, object_id: Any = None) -> dict[str, Any]:
        return {"follows": self.follows()}

    @property
    def last_used(self) -> str:
        used = self.key.last_used_at
        return f"last used {used:%Y-%m-%d %H:%M} UTC" if used else "never used so far"


class RotateKeyDialog(StepUpDialog, KeyDialog):
    """For how long both keys work, and who gets to see the new one."""

    overlap = forms.ChoiceField(
        label="The old key works on for",
        choices=[
            ("0", "no time: it ends at once"),
            ("1", "an hour"),
            ("24", "a day"),
            ("168", "7 days"),
            ("720", "30 days"),
        ],
        initial="24",
        widget=UnfoldAdminSelectWidget,
    )
    handover = forms.ChoiceField(label="The new key", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["handover"].choices = handovers(
            may_see=self.request.user.has_perm(MAY_SEE), has_buyer=self.key.consumer is not None
        )

    def follows(self) -> list[str]:
        said = [f"The old key {self.key} was {self.last_used}. Its successor gets its limits."]
        if self.key.expires_at is not None:
            until = f"{self.key.expires_at:%Y-%m-%d %H:%M} UTC"
            said.append(f"It ends on {until} at the latest, however long both may work.")
        if self.key.disabled_at is not None:
            said.append("It is off, and so is its successor until this one would be on.")
        said.append("If it has leaked, choose no time, or revoke it once the new one is in use.")
        return said

    @property
    def time_for_both(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))

    @property
    def by_link(self) -> bool:
        return bool(self.cleaned_data["handover"] == LINK)


def handovers(*, may_see: bool, has_buyer: bool) -> list[tuple[str, str]]:
    """How a new key can reach whoever is to hold it."""
    link = [(LINK, "is collected by the buyer: I get a link to send")] if has_buyer else []
    show = [(SHOW, "is shown to me, once")] if may_see else []
    return link + show


class PlaceFields(forms.Form):
    """Scopes and networks, as people write them."""

    key_scopes = forms.CharField(
        label="Scopes, separated by spaces", required=False, widget=UnfoldAdminTextInputWidget
    )
    key_networks = forms.CharField(
        label="Only from these networks (203.0.113.0/24 ...)",
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )

    def clean_key_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["key_scopes"].split()
        if len(scopes) > 50 or any(len(scope) > 50 or not scope.isascii() for scope in scopes):
            raise forms.ValidationError("At most 50 scopes of at most 50 ASCII characters.")
        return scopes

    def clean_key_networks(self) -> list[str]:
        networks: list[str] = self.cleaned_data["key_networks"].replace(",", " ").split()
        if len(networks) > 50:
            raise forms.ValidationError("At most 50 networks.")
        return networks


class IssueConsumerKeyDialog(StepUpDialog, PlaceFields, ConsumerDialog):
    """A key that was not bought: for a partner, a trial, a friend."""

    key_name = forms.CharField(
        label="Name", max_length=100, required=False, widget=UnfoldAdminTextInputWidget
    )
    key_environment = forms.ChoiceField(
        label="Environment", choices=Environment.choices, widget=UnfoldAdminSelectWidget
    )
    key_api = forms.ModelChoiceField(
        label="API",
        queryset=Api.objects.none(),
        required=False,
        empty_label="any",
        widget=UnfoldAdminSelectWidget,
    )
    ends = forms.ChoiceField(
        label="Ends",
        choices=[("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"), ("", "never")],
        required=False,
        initial="30",
        widget=UnfoldAdminSelectWidget,
    )
    handover = forms.ChoiceField(label="The key", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["key_api"].queryset = Api.objects.filter(project=self.consumer.project)
        fields["handover"].choices = handovers(may_see=True, has_buyer=True)

    def expires_at(self, at: datetime) -> datetime | None:
        days = self.cleaned_data["ends"]
        return at + timedelta(days=int(days)) if days else None


class DisableKeyDialog(KeyDialog):
    def follows(self) -> list[str]:
        return [
            f"Whoever calls with {self.key} is refused from now on; it was {self.last_used}. No "
            "payment switches it on: somebody has to."
        ]


class EnableKeyDialog(KeyDialog):
    def follows(self) -> list[str]:
        if self.key.disabled_because == "payment":
            return ["It is off for want of payment, and works by itself when that is made good."]
        if self.key.unpaid_since is not None:
            return ["What it belongs to is not paid: it stays off until it is."]
        if self.key.has_expired(now()):
            return ["It has expired: switched on, it still opens nothing. Issue a new one."]
        return [f"{self.key} is accepted again at once."]


class RevokeKeyDialog(KeyDialog):
    def follows(self) -> list[str]:
        return [
            f"Whoever holds {self.key} is refused from now on; it was {self.last_used}. "
            "This cannot be undone."
        ]


class MoveCutoffDialog(KeyDialog):
    """For how much longer a key works that was replaced."""

    overlap = forms.ChoiceField(
        label="The replaced key works on for",
        choices=[
            ("0", "no time: it ends at once"),
            ("24", "a day from now"),
            ("168", "7 days from now"),
            ("720", "30 days from now"),
        ],
        initial="168",
        widget=UnfoldAdminSelectWidget,
    )

    def follows(self) -> list[str]:
        if self.key.replaced_at is None:
            return ["This key was not replaced: rotate it first."]
        said = [f"It was replaced on {self.key.replaced_at:%Y-%m-%d %H:%M} UTC."]
        used = "still in use" if self.key.is_used_since_replaced else "not used since"
        said.append(f"It is {used}: {self.last_used}.")
        if self.key.expires_at is not None:
            said.append(f"As it is, it ends on {self.key.expires_at:%Y-%m-%d %H:%M} UTC.")
        return said

    @property
    def time_for_both(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class EditKeyDialog(PlaceFields, KeyDialog):
    """What the key opens; what is left as it is stays as it is."""

    key_name = forms.CharField(
        label="Name", max_length=100, required=False, widget=UnfoldAdminTextInputWidget
    )
    key_limit = forms.IntegerField(
        label="Own limit per minute; empty: the plan's",
        min_value=0,
        max_value=MOST_CALLS,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )
    key_burst = forms.IntegerField(
        label="Own burst; empty: none",
        min_value=1,
        max_value=MOST_CALLS,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = {
            "key_name": self.key.name,
            "key_scopes": " ".join(self.key.scopes),
            "key_networks": " ".join(self.key.allowed_cidrs),
            "key_limit": self.key.own_limit_per_minute,
            "key_burst": self.key.own_burst,
        }
        for name, value in shown.items():
            self.fields[name].initial = value

    @property
    def wanted(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "name": given["key_name"],
            "scopes": given["key_scopes"],
            "allowed_cidrs": given["key_networks"],
            "own_limit_per_minute": given["key_limit"],
            "own_burst": given["key_burst"],
        }

    def follows(self) -> list[str]:
        return [f"It counts for every request from now on. The key was {self.last_used}."]
