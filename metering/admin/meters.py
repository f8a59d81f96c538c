"""What is counted, and what each meter feeds."""

from typing import Any

from django import forms
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from config.errors import DomainError
from keystore.admin.pages import AuditedAdmin
from metering.meters import MeterTerms, check_terms, has_counted
from metering.models import Meter


class MeterForm(ModelForm):
    """Holds a meter to the rules of the API."""

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or self.cleaned_data
        project = asked.get("project") or self.instance.project
        names = MeterTerms.__dataclass_fields__
        terms = MeterTerms(**{name: asked[name] for name in names if name in asked})
        try:
            check_terms(project, terms)
        except (DomainError, TypeError) as error:
            raise forms.ValidationError(str(error)) from error
        return asked


@admin.register(Meter)
class MeterAdmin(AuditedAdmin):
    form = MeterForm
    list_display = ("code", "name", "aggregation", "feeds", "stripe_event_name", "project")
    list_filter = ("project", "aggregation")
    list_select_related = ("project", "feature")
    search_fields = ("code", "name", "public_id")
    fields = (
        *("project", "code", "name", "unit", "aggregation", "value_property", "feature"),
        *("dimensions", "thresholds", "stripe_event_name", "archived_at"),
        *("public_id", "created_at"),
    )
    # What is reported to Stripe is made there by the catalogue file.
    readonly_fields = ("stripe_event_name", "archived_at", "public_id", "created_at")
    set_once = ("project", "code")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """How it counts is fixed with its first event."""
        fixed = ("aggregation", "value_property") if obj is not None and has_counted(obj) else ()
        return [*super().get_readonly_fields(request, obj), *fixed]

    @admin.display(description="Feeds")
    def feeds(self, meter: Meter) -> str:
        """Where its usage goes."""
        ends = [f"the limit of {meter.feature.code}"] if meter.feature else []
        ends += ["Stripe"] if meter.stripe_event_name else []
        ends += ["nothing: archived"] if meter.archived_at else []
        return ", ".join(ends) or "its totals only"
