"""The dialogs for quantities, changes to come and agreed prices."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.subscription_forms import PricedDialog, SubscriptionDialog, prices_for
from billing.models import Price
from billing.money import decimals_of, refuse_parts, shown
from billing.prices import price_text
from billing.schedules import AHEAD, waiting_of
from config.errors import InvalidInput

MOST = 10_000


class QuantityDialog(PricedDialog):
    """How many. The first click shows the price."""

    asks_for = "many"
    many = forms.IntegerField(
        label="Quantity", min_value=1, max_value=MOST, widget=UnfoldAdminIntegerFieldWidget
    )

    def follows(self) -> list[str]:
        if self.preview is not None:
            return ["This is what follows. Press the button again to do it."]
        many = self.subscription.quantity
        return [f"Now: {many} of {self.plan}. The button shows the price first."]

    @property
    def quantity(self) -> int | None:
        return int(self.cleaned_data["many"])

    @property
    def chosen(self) -> Price:
        if self.subscription.price is None:
            raise InvalidInput("Its price is not in our catalogue: change it at Stripe.")
        return self.subscription.price


class ScheduleDialog(SubscriptionDialog):
    """To which price, and when."""

    price = forms.ChoiceField(label="New price", widget=UnfoldAdminSelectWidget)
    day = forms.DateField(
        label="On",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="At 00:00 UTC, with the rest of the period settled. Empty: with the next period.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prices = {price.public_id: price for price in prices_for(self.subscription)}
        self.fields["price"].choices = [
            ("", "Choose..."),
            *((one, f"{price.plan}: {price_text(price)}") for one, price in self.prices.items()),
        ]

    def follows(self) -> list[str]:
        row = waiting_of(self.subscription)
        if row is not None:
            return ["A change is scheduled already: withdraw that first."]
        return [
            f"Until then it stays {self.plan}. A card that is declined then leaves the old plan, "
            "and the project is told."
        ]

    @property
    def chosen(self) -> Price:
        return self.prices[self.cleaned_data["price"]]

    @property
    def due_at(self) -> datetime | None:
        day = self.cleaned_data["day"]
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


class WithdrawDialog(SubscriptionDialog):
    def follows(self) -> list[str]:
        row = waiting_of(self.subscription)
        if row is None:
            return ["Nothing is scheduled."]
        when = row.due_at + AHEAD if row.at_period_end else row.due_at
        what = f"change to {row.price.plan}" if row.price else "end of the pause"
        return [f"The {what} on {when:%Y-%m-%d %H:%M} UTC does not happen."]


class AgreePriceDialog(SubscriptionDialog):
    """An amount for this consumer in place of the one on sale."""

    amount = forms.DecimalField(
        label="Amount per period", min_value=Decimal(0), widget=UnfoldAdminDecimalFieldWidget
    )

    def follows(self) -> list[str]:
        price = self.listed
        if price is None:
            return ["Its price is not in our catalogue: no other one can be agreed on."]
        return [
            f"On sale: {price_text(price)}. The new amount counts for this consumer's next "
            "checkout or change. What runs now goes on as it is: change the plan afterwards, the "
            "agreed price is then on offer there.",
        ]

    @property
    def listed(self) -> Price | None:
        """The price on sale that this one stands for."""
        price = self.subscription.price
        if price is None or price.only_for_id is None:
            return price
        return price.made_for.price

    @property
    def amount_minor(self) -> int:
        """Raises InvalidInput for parts that the currency does not have."""
        assert self.listed is not None
        amount: Decimal = self.cleaned_data["amount"]
        minor = amount.scaleb(decimals_of(self.listed.currency))
        if minor != minor.to_integral_value():
            raise InvalidInput(f"{self.listed.currency.upper()} has no such small parts.")
        refuse_parts(int(minor), self.listed.currency)
        return int(minor)

    def said(self) -> str:
        assert self.listed is not None
        return f"Agreed: {shown(self.amount_minor, self.listed.currency)} per period."
