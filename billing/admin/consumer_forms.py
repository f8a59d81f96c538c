"""The dialogs of the consumer page."""

import uuid
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
)

from config.clock import now
from entitlements.models import Grant
from entitlements.selectors import explain_all
from keystore.admin.dialogs import ConsumerDialog
from keystore.models import ApiKey


class RevokeGrantDialog(ConsumerDialog):
    """Which of the grants that staff gave ends."""

    which_grant = forms.ChoiceField(label="Grant", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["which_grant"].choices = [
            ("", "Choose..."),
            *((grant.public_id, _told(grant)) for grant in self._grants()),
        ]

    def _grants(self) -> list[Grant]:
        """Not those that follow a subscription or purchase: they end with it."""
        at = now()
        rows = Grant.objects.filter(consumer=self.consumer, revoked_at=None)
        rows = rows.exclude(valid_to__lte=at).select_related("plan", "feature", "consumer")
        return [grant for grant in rows.order_by("-pk") if grant.source_ref == grant.public_id]

    @property
    def grant(self) -> Grant:
        wanted = self.cleaned_data["which_grant"]
        return next(grant for grant in self._grants() if grant.public_id == wanted)


class RevokeFeatureDialog(ConsumerDialog):
    """Which of the features that are open now is taken away."""

    which_feature = forms.ChoiceField(label="Feature", widget=UnfoldAdminSelectWidget)
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        open_ones = [
            one.explanation.feature_code
            for one in explain_all(consumer=self.consumer, at=now())
            if one.explanation.entitlement and one.explanation.entitlement.reason != "denied"
        ]
        self.fields["which_feature"].choices = [("", "Choose..."), *((it, it) for it in open_ones)]
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"


class RevokeKeyDialog(ConsumerDialog):
    """Which of the consumer's keys is revoked."""

    which_key = forms.ChoiceField(label="Key", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["which_key"].choices = [
            ("", "Choose..."),
            *((key.public_id, f"{key} {key.name}".strip()) for key in self._keys()),
        ]

    def _keys(self) -> list[ApiKey]:
        rows = ApiKey.objects.filter(consumer=self.consumer, revoked_at=None)
        return list(rows.select_related("consumer", "project").order_by("-pk"))

    @property
    def key(self) -> ApiKey:
        wanted = self.cleaned_data["which_key"]
        return next(key for key in self._keys() if key.public_id == wanted)


class SyncDialog(ConsumerDialog):
    """Why to look again at Stripe; nobody needs to say."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["deed_reason"].required = False


def _told(grant: Grant) -> str:
    what = grant.plan or grant.feature
    denial = "denial of " if grant.effect == "deny" else ""
    until = f"until {grant.valid_to:%Y-%m-%d %H:%M}" if grant.valid_to else "without end"
    return f"{denial}{what}, {until}"
