"""The dialogs of the consumer page."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from config.clock import now
from entitlements.models import Feature, FeatureKind, Grant, Plan
from entitlements.selectors import explain_all, features_of
from keystore.admin.dialogs import ReasonDialog
from keystore.admin.pages import row_or_404
from keystore.models import ApiKey, Consumer

USUAL_LENGTH = timedelta(days=30)
ENDLESS = "entitlements.give_endless_grant"
MINUTES = "%Y-%m-%dT%H:%M"
Choices = list[tuple[str, str]]


class ConfigField(forms.JSONField):
    """JSON that starts empty, not as the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class ConsumerDialog(ReasonDialog):
    """A dialog about one consumer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whoever may not open the dialog is refused before it exists; no such consumer is a 404.
        self.consumer: Consumer = row_or_404(
            Consumer.objects.select_related("project"), self.object_id
        )

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """A button in a row names its row in the address: chosen where it is on offer."""
        row = self.request.GET.get("row", "")
        if row and isinstance(field, forms.ChoiceField) and field.valid_value(row):
            return row
        return super().get_initial_for_field(field, field_name)


class GiveGrantDialog(ConsumerDialog):
    """What to open, how much of it, and until when."""

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
    until = forms.DateTimeField(
        label="Ends (UTC)",
        required=False,
        input_formats=[MINUTES],
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
    )
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)  # a double click is one wish

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = now()
        self.fields["what"].choices = self._choices()
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"
        self.fields["until"].initial = (self.at + USUAL_LENGTH).strftime(MINUTES)
        if self._may_be_endless():
            self.fields["until"].help_text = "Empty: no end."

    def _choices(self) -> list[Any]:
        project = self.consumer.project
        plans = Plan.objects.filter(project=project).order_by("rank", "code")
        features = features_of(project=project)
        return [
            ("", "Choose..."),
            ("Plans", [(f"plan:{plan.pk}", str(plan)) for plan in plans]),
            ("Features", [(f"feature:{one.pk}", f"{one.code} ({one.kind})") for one in features]),
        ]

    def _may_be_endless(self) -> bool:
        return bool(self.request.user.has_perm(ENDLESS))

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until is None and not self._may_be_endless():
            raise ValidationError("Say when the grant ends: you may not give one without end.")
        if until is not None and until <= self.at:
            raise ValidationError("The end must be in the future.")
        return until

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        kind, _, pk = asked.get("what", "").partition(":")
        asked["plan"] = Plan.objects.get(pk=pk) if kind == "plan" else None
        asked["feature"] = Feature.objects.get(pk=pk) if kind == "feature" else None
        limited = asked["feature"] is not None and asked["feature"].kind == FeatureKind.LIMIT
        if limited and (asked.get("how_much") is None) != bool(asked.get("unlimited")):
            self.add_error("how_much", "Give a limit or tick unlimited, one of the two.")
        if asked.get("unlimited") and not limited:
            self.add_error("unlimited", "Only a feature with a limit can be unlimited.")
        return asked


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
