"""The dialogs in which coupons and promotion codes are offered and taken back."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.models import Coupon, CouponDuration, PromotionCode
from billing.money import minor_of
from billing.promotions.terms import CodeTerms, CouponTerms
from config.errors import InvalidInput
from keystore.admin.dialogs import ReasonDialog
from keystore.admin.pages import row_or_404
from keystore.models import Project
from keystore.selectors import consumer_of


def _whole(label: str, **more: Any) -> forms.IntegerField:
    widget = UnfoldAdminIntegerFieldWidget
    return forms.IntegerField(label=label, min_value=1, required=False, widget=widget, **more)


def _text(label: str, longest: int, **more: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget
    return forms.CharField(label=label, max_length=longest, widget=widget, **more)


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label, required=False, widget=UnfoldAdminDateWidget, help_text="Its end, in UTC."
    )


def _end(day: Any) -> datetime | None:
    return datetime.combine(day, time(23, 59, 59), UTC) if day else None


class OfferDialog(ReasonDialog):
    """The terms of a coupon, which never change afterwards."""

    project = forms.ModelChoiceField(
        queryset=Project.objects.none(), widget=UnfoldAdminSelectWidget
    )
    code = _text("Name", 49, help_text="For us: small letters, digits, - and _.")
    title = _text("On invoices", 40, required=False)
    percent = forms.DecimalField(
        label="Per cent off",
        required=False,
        max_digits=5,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
    )
    amount = _text("Or an amount off", 20, required=False, help_text="Such as 5.00.")
    currency = _text("Currency of the amount", 3, required=False, help_text="Such as usd.")
    duration = forms.ChoiceField(
        label="Counts",
        choices=[("once", "once"), ("repeating", "for some months"), ("forever", "for ever")],
        widget=UnfoldAdminSelectWidget,
    )
    months = _whole("Months")
    plans = _text("Only for plans", 500, required=False, help_text="Codes, with commas between.")
    most = _whole("Redemptions at most")
    until = _day("Redeemed until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.order_by("slug")

    @property
    def terms(self) -> CouponTerms:
        """Raises NotAnAmount."""
        asked = self.cleaned_data
        currency = asked["currency"].strip().lower()
        amount = asked["amount"].strip()
        if amount and len(currency) != 3:
            raise InvalidInput("An amount needs its currency, such as usd.")
        return CouponTerms(
            code=asked["code"].strip(),
            name=asked["title"].strip(),
            percent_off=asked["percent"],
            amount_off_minor=minor_of(amount, currency) if amount else None,
            currency=currency,
            duration=CouponDuration(asked["duration"]).value,
            duration_in_months=asked["months"],
            max_redemptions=asked["most"],
            redeem_by=_end(asked["until"]),
            plans=tuple(filter(None, (one.strip() for one in asked["plans"].split(",")))),
        )


class CouponDialog(ReasonDialog):
    """A dialog about one coupon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Coupon.objects.select_related("project")
        self.coupon: Coupon = row_or_404(rows, self.object_id)


class CodeDialog(CouponDialog):
    """A code that buyers type, and who may."""

    code = _text("Code", 50, help_text="Letters, digits and -; small and large are the same.")
    first_time = forms.BooleanField(
        label="Only for a first purchase", required=False, widget=UnfoldBooleanSwitchWidget
    )
    minimum = _text("Smallest purchase", 20, required=False, help_text="Such as 20.00.")
    currency = _text("Its currency", 3, required=False, help_text="Such as usd.")
    user = _text("Only for user", 255, required=False, help_text="Their id in the app, or con_...")
    most = _whole("Redemptions at most")
    until = _day("Ends")

    @property
    def terms(self) -> CodeTerms:
        """Raises NotAnAmount, InvalidInput for a user who is not known."""
        asked = self.cleaned_data
        currency, minimum = asked["currency"].strip().lower(), asked["minimum"].strip()
        if minimum and len(currency) != 3:
            raise InvalidInput("A smallest purchase needs its currency, such as usd.")
        user = asked["user"].strip()
        consumer = consumer_of(project=self.coupon.project, user_id=user) if user else None
        if user and consumer is None:
            raise InvalidInput(f"The project has no user {user!r}.")
        return CodeTerms(
            code=asked["code"].strip().upper(),
            first_time=asked["first_time"],
            minimum_minor=minor_of(minimum, currency) if minimum else None,
            minimum_currency=currency if minimum else "",
            consumer=consumer,
            expires_at=_end(asked["until"]),
            max_redemptions=asked["most"],
        )


class CodeEndDialog(ReasonDialog):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = PromotionCode.objects.select_related("project", "coupon")
        self.promotion_code: PromotionCode = row_or_404(rows, self.object_id)
