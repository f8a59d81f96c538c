"""The marketplace: creators with their balances, what they list and earned, how they were paid."""

import uuid
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.sales import SaleAdmin
from billing.market import desk
from billing.market.adjustments import request_adjustment
from billing.market.balances import balances_of, payable_of
from billing.market.payouts import refusal_of, want_payout
from billing.market.split import WHOLE
from billing.models import ApiListing, Commission, Creator, Earning, Payout
from billing.money import minor_of, shown
from billing.operations import run_operation
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, person_of, row_or_404
from keystore.admin.stepup import StepUp

SEE = "billing.view_creator"
STATE_COLOURS = {
    "active": "success",
    "paid": "success",
    "onboarding": "info",
    "wanted": "info",
    "transferred": "info",
    "paying": "info",
    "returning": "warning",
    "returned": "warning",
    "disabled": "danger",
    "failed": "danger",
}


class CreatorDialog(ReasonDialog):
    """A dialog about one creator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Creator.objects.select_related("project", "consumer")
        self.creator: Creator = row_or_404(rows, self.object_id)


class PayDialog(CreatorDialog):
    """Names what would be paid; another amount by the time of the click is refused."""

    amount = forms.ChoiceField(label="Pay out", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        payable = {
            currency: payable_of(balance, currency)
            for currency, balance in balances_of(self.creator).items()
        }
        self.fields["amount"].choices = [
            (f"{currency}:{amount}", shown(amount, currency))
            for currency, amount in payable.items()
            if amount
        ]
        self.fields["amount"].help_text = (
            refusal_of(self.creator) or "To their Stripe account, and from there to their bank."
        )


class AdjustDialog(StepUp, CreatorDialog):
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)
    currency = forms.RegexField(
        r"^[a-z]{3}\Z", widget=UnfoldAdminTextInputWidget, help_text="Lower-case: usd."
    )
    amount = forms.CharField(
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as 12.50; with a minus it is taken from the balance.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"

    @property
    def amount_minor(self) -> int:
        """Raises NotAnAmount."""
        text = str(self.cleaned_data["amount"]).strip()
        amount = minor_of(text.removeprefix("-"), self.cleaned_data["currency"])
        return -amount if text.startswith("-") else amount


class CommissionDialog(CreatorDialog):
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


@admin.register(Creator)
class CreatorAdmin(SaleAdmin):
    list_display = ("public_id", "who", "project", "status_label", "balances", "country")
    list_filter = ("project", "state", ("payouts_paused_at", admin.EmptyFieldListFilter))
    search_fields = ("public_id", "stripe_account_id", "consumer__public_id")
    search_help_text = "crt_ id, acct_ id, con_ id"
    ordering = ("-pk",)
    fields = (
        *("consumer", "project", "status_label", "balances", "country", "currency"),
        *("stripe_account_id", "payouts_enabled", "requirements", "disabled_reason"),
        *("payouts_paused_at", "listed", "last_earned", "last_paid", "read_at", "created_at"),
    )
    actions_detail: Any = (
        "pay_out",
        {
            "title": "More",
            "icon": "tune",
            "items": ["pause", "resume", "adjust", "commission"],
        },
    )
    has_pause_permission = holds("billing.pause_creator", SEE)
    has_pay_permission = holds("billing.pay_creator", SEE)
    has_adjust_permission = holds("billing.adjust_creator", SEE)
    has_commission_permission = holds("billing.set_commission", SEE)

    @display(description="state", label=STATE_COLOURS)
    def status_label(self, creator: Creator) -> str:
        return creator.state

    @admin.display(description="balance")
    def balances(self, creator: Creator) -> str:
        amounts = balances_of(creator).items()
        return ", ".join(shown(amount, currency) for currency, amount in amounts) or "nothing"

    @admin.display(description="APIs")
    def listed(self, creator: Creator) -> str:
        rows = creator.listings.select_related("api").order_by("-pk")[:20]
        return ", ".join(str(row) for row in rows) or "none"

    @admin.display(description="latest earnings")
    def last_earned(self, creator: Creator) -> str:
        rows = creator.earnings.order_by("-pk")[:10]
        return "; ".join(f"{row.kind} {shown(row.amount_minor, row.currency)}" for row in rows)

    @admin.display(description="latest payouts")
    def last_paid(self, creator: Creator) -> str:
        rows = creator.payouts.order_by("-pk")[:10]
        return "; ".join(f"{shown(row.amount_minor, row.currency)} {row.state}" for row in rows)

    @action(
        description="Pay out now",
        icon="payments",
        permissions=["pay"],
        dialog={"title": "Pay this creator out", "form_class": PayDialog},
    )
    def pay_out(self, request: HttpRequest, form: PayDialog, object_id: str) -> HttpResponse:
        currency, _, amount = form.cleaned_data["amount"].partition(":")

        def deed() -> str:
            payout = want_payout(
                creator=form.creator,
                currency=currency,
                actor=actor_of(request),
                at=now(),
                reason=form.reason,
                expected_minor=int(amount),
            )
            run_operation(operation=payout.operation, at=now())
            payout.refresh_from_db()
            return f"{shown(payout.amount_minor, currency)}: the payout is {payout.state}."

        return carry_out(request, form, deed, back=_page(form.creator))

    @action(
        description="Pause payouts",
        icon="pause",
        permissions=["pause"],
        dialog={"title": "Hold payouts back", "form_class": CreatorDialog},
    )
    def pause(self, request: HttpRequest, form: CreatorDialog, object_id: str) -> HttpResponse:
        return self._pause(request, form, paused=True)

    @action(
        description="Resume payouts",
        icon="play_arrow",
        permissions=["pause"],
        dialog={"title": "Let payouts go on", "form_class": CreatorDialog},
    )
    def resume(self, request: HttpRequest, form: CreatorDialog, object_id: str) -> HttpResponse:
        return self._pause(request, form, paused=False)

    def _pause(self, request: HttpRequest, form: CreatorDialog, *, paused: bool) -> HttpResponse:
        def deed() -> str:
            done = desk.pause_payouts(
                creator=form.creator,
                paused=paused,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            state = "held back" if paused else "going on"
            return f"Payouts are {state}." if done else f"Payouts were {state} before."

        return carry_out(request, form, deed, back=_page(form.creator))

    @action(
        description="Adjust the balance",
        icon="exposure",
        permissions=["adjust"],
        dialog={
            "title": "Adjust the balance",
            "description": "Above the project's limit for refunds, counted over 30 days of this "
            "creator's adjustments, a second person must agree.",
            "form_class": AdjustDialog,
        },
    )
    def adjust(self, request: HttpRequest, form: AdjustDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            row = request_adjustment(
                creator=form.creator,
                amount_minor=form.amount_minor,
                currency=form.cleaned_data["currency"],
                wish=form.cleaned_data["wish"],
                reason=form.reason,
                person=person_of(request),
                at=now(),
            )
            amount = shown(row.amount_minor, row.currency)
            if row.earning is not None:
                return f"{amount} is on the ledger as {row.earning}."
            return f"{amount} waits for somebody else who may agree: nothing has moved."

        return carry_out(request, form, deed, back=_page(form.creator))

    @action(
        description="Change the commission",
        icon="percent",
        permissions=["commission"],
        dialog={"title": "Change the commission", "form_class": CommissionDialog},
    )
    def commission(
        self, request: HttpRequest, form: CommissionDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            at = now()
            row = desk.set_commission(
                project=form.creator.project,
                creator=form.creator,
                basis_points=form.cleaned_data["basis_points"],
                effective_from=form.effective_from(at),
                actor=actor_of(request),
                reason=form.reason,
                at=at,
            )
            return f"{row} of sales from {row.effective_from:%Y-%m-%d %H:%M} UTC on."

        return carry_out(request, form, deed, back=_page(form.creator))


def _page(creator: Creator) -> str:
    return reverse("admin:billing_creator_change", args=[creator.pk])


@admin.register(Earning)
class EarningAdmin(SaleAdmin):
    list_display = ("public_id", "kind", "creator", "api", "amount", "who", "occurred_at")
    list_filter = ("project", "kind", "currency", ("occurred_at", DayFilter))
    list_select_related = ("creator", "api", "consumer", "project")
    search_fields = ("public_id", "source", "creator__public_id", "payout__public_id")
    ordering = ("-pk",)


@admin.register(Payout)
class PayoutAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "creator", "amount", "status_label", "period", "created_at")
    list_filter = ("project", "state", "currency", ("created_at", DayFilter))
    list_select_related = ("creator", "project")
    search_fields = ("public_id", "creator__public_id", "stripe_transfer_id", "stripe_payout_id")
    ordering = ("-pk",)

    @display(description="state", label=STATE_COLOURS)
    def status_label(self, payout: Payout) -> str:
        return payout.state

    @admin.display(description="amount")
    def amount(self, payout: Payout) -> str:
        return shown(payout.amount_minor, payout.currency)


@admin.register(ApiListing)
class ApiListingAdmin(ReadOnlyAdmin):
    list_display = ("api", "creator", "published_at", "created_at")
    list_select_related = ("api", "creator")
    search_fields = ("api__code", "api__public_id", "creator__public_id")
    ordering = ("-pk",)


@admin.register(Commission)
class CommissionAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "project", "creator", "api", "basis_points", "effective_from")
    list_filter = ("project",)
    list_select_related = ("project", "creator", "api")
    ordering = ("-effective_from",)
