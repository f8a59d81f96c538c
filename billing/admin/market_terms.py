"""Each project's terms of the marketplace: who bears fees, when creators are paid, from what on."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from billing.market import desk
from billing.market.policy_desk import (
    minimums_text,
    schedule_text,
    set_market_terms,
    set_minimum,
)
from billing.market.split import WHOLE
from billing.market.terms import usual_commission
from billing.models import FeeBearer, MarketPolicy, PayoutInterval
from billing.money import minor_of, shown
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404
from keystore.models import Project

SEE = "billing.view_marketpolicy"
SET = "billing.set_market_terms"
FEES = [(FeeBearer.PLATFORM, "The project"), (FeeBearer.CREATOR, "The creator")]


class TermsFields(forms.Form):
    stripe_fee = forms.ChoiceField(
        label="Stripe's fee is borne by", choices=FEES, widget=UnfoldAdminSelectWidget
    )
    interval = forms.ChoiceField(
        label="Creators are paid", choices=PayoutInterval.choices, widget=UnfoldAdminSelectWidget
    )
    day = forms.IntegerField(
        min_value=1,
        max_value=28,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Weekly: 1 (Monday) to 7. Monthly: 1 to 28. By hand: it does not count.",
    )

    @property
    def terms(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "stripe_fee": FeeBearer(given["stripe_fee"]),
            "interval": PayoutInterval(given["interval"]),
            "day": given["day"],
        }


class NewTermsDialog(TermsFields, ReasonDialog):
    """For a project that goes by the usual terms so far."""

    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), widget=UnfoldAdminSelectWidget
    )
    field_order = ("project", "stripe_fee", "interval", "day")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["interval"].initial = PayoutInterval.MONTHLY
        rows = Project.objects.filter(market_policy=None).order_by("slug")
        self.fields["project"].queryset = rows  # type: ignore[attr-defined]


class PolicyDialog(ReasonDialog):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = MarketPolicy.objects.select_related("project")
        self.policy: MarketPolicy = row_or_404(rows, self.object_id)


class TermsDialog(TermsFields, PolicyDialog):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("stripe_fee", "interval", "day"):
            self.fields[name].initial = getattr(self.policy, name)


class MinimumDialog(PolicyDialog):
    currency = forms.RegexField(
        r"^[a-z]{3}\Z", widget=UnfoldAdminTextInputWidget, help_text="Lower-case: usd."
    )
    amount = forms.CharField(
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as 50.00; 0 takes the minimum away.",
    )

    @property
    def amount_minor(self) -> int:
        """Raises NotAnAmount."""
        return minor_of(str(self.cleaned_data["amount"]), self.cleaned_data["currency"])


class UsualCommissionDialog(PolicyDialog):
    basis_points = forms.IntegerField(
        min_value=0,
        max_value=WHOLE,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Hundredths of a per cent: 2000 is 20 %.",
    )
    begins = forms.DateField(
        required=False, widget=UnfoldAdminDateWidget, help_text="In UTC; left out: now."
    )

    def effective_from(self, at: datetime) -> datetime:
        day = self.cleaned_data["begins"]
        return datetime.combine(day, time(), UTC) if day else at


@admin.register(MarketPolicy)
class MarketPolicyAdmin(ReadOnlyAdmin):
    list_display = ("project", "paid", "minimums", "commission_now", "fee_borne_by")
    list_select_related = ("project",)
    ordering = ("project__slug",)
    fields = ("project", "paid", "minimums", "commission_now", "fee_borne_by")
    actions_list = ("open_terms",)
    actions_detail = ("set_terms", "minimum", "commission")
    has_terms_permission = holds(SET, SEE)
    has_commission_permission = holds("billing.set_commission", SEE)

    @admin.display(description="creators are paid")
    def paid(self, policy: MarketPolicy) -> str:
        return schedule_text(policy)

    @admin.display(description="from")
    def minimums(self, policy: MarketPolicy) -> str:
        return minimums_text(policy.project) or "any amount"

    @admin.display(description="usual commission")
    def commission_now(self, policy: MarketPolicy) -> str:
        found = usual_commission(project=policy.project, at=now())
        return str(found or "none")

    @admin.display(description="Stripe's fee is borne by")
    def fee_borne_by(self, policy: MarketPolicy) -> str:
        return dict(FEES)[FeeBearer(policy.stripe_fee)].lower()

    @action(
        description="Terms for a project",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["terms"],
        dialog={
            "title": "Terms for a project",
            "description": "A project without terms of its own pays monthly, on the first, from "
            "any amount on.",
            "form_class": NewTermsDialog,
        },
    )
    def open_terms(self, request: HttpRequest, form: NewTermsDialog) -> HttpResponse:
        return self._set(request, form, form.cleaned_data["project"])

    @action(
        description="Change the terms",
        icon="edit_calendar",
        variant=ActionVariant.PRIMARY,
        permissions=["terms"],
        dialog={
            "title": "Change the terms",
            "description": "From the next payout and the next sale on.",
            "form_class": TermsDialog,
        },
    )
    def set_terms(self, request: HttpRequest, form: TermsDialog, object_id: str) -> HttpResponse:
        return self._set(request, form, form.policy.project)

    def _set(
        self, request: HttpRequest, form: NewTermsDialog | TermsDialog, project: Project
    ) -> HttpResponse:
        def deed() -> str:
            done = set_market_terms(
                project=project,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
                **form.terms,
            )
            told = schedule_text(MarketPolicy.objects.get(project=project))
            return f"Creators of {project} are paid {told}." if done else "It was so before."

        return carry_out(request, form, deed, back=_list())

    @action(
        description="Set a minimum",
        icon="savings",
        permissions=["terms"],
        dialog={
            "title": "The least that is paid out",
            "description": "Of each currency. What is less stays on the balance until it is more.",
            "form_class": MinimumDialog,
        },
    )
    def minimum(self, request: HttpRequest, form: MinimumDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            currency, amount = form.cleaned_data["currency"], form.amount_minor
            done = set_minimum(
                project=form.policy.project,
                currency=currency,
                amount_minor=amount,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            told = f"paid out from {shown(amount, currency)} on" if amount else "without a minimum"
            return f"{currency.upper()} is {told}." if done else "It was so before."

        return carry_out(request, form, deed, back=_list())

    @action(
        description="Change the commission",
        icon="percent",
        permissions=["commission"],
        dialog={
            "title": "Change the usual commission",
            "description": "Of sales whose API and creator have none of their own.",
            "form_class": UsualCommissionDialog,
        },
    )
    def commission(
        self, request: HttpRequest, form: UsualCommissionDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            at = now()
            row = desk.set_commission(
                project=form.policy.project,
                basis_points=form.cleaned_data["basis_points"],
                effective_from=form.effective_from(at),
                actor=actor_of(request),
                reason=form.reason,
                at=at,
            )
            return f"{row} of sales from {row.effective_from:%Y-%m-%d %H:%M} UTC on."

        return carry_out(request, form, deed, back=_list())


def _list() -> str:
    return reverse("admin:billing_marketpolicy_changelist")
