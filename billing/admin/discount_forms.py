"""The dialogs in which a subscription is given a discount, or loses one. The first click shows
what the next invoice will be.
"""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from billing import gateway
from billing.admin.subscription_forms import STRIPE_SECONDS, SubscriptionDialog
from billing.models import Coupon
from billing.promotions.given import preview_given, preview_taken
from billing.subscriptions import ChangePreview
from config.clock import now


class PreviewedDialog(SubscriptionDialog):
    """`seen_for` says for which choice the next invoice was shown."""

    data: Any
    seen_for = forms.CharField(widget=forms.HiddenInput, required=False, max_length=60)
    asks_for = "what"

    @property
    def is_confirmed(self) -> bool:
        return bool(self.cleaned_data["seen_for"] == self.cleaned_data[self.asks_for])

    def ask(self) -> ChangePreview:
        # Each form says it: Django's metaclass of forms leaves no room for an abstract one.
        raise NotImplementedError

    def price_it(self) -> None:
        """Raises whatever speaks against it."""
        with gateway.deadline(STRIPE_SECONDS):
            self.preview = self.ask()
        self.data = self.data.copy()
        self.data["seen_for"] = self.cleaned_data[self.asks_for]


class GiveDiscountDialog(PreviewedDialog):
    what = forms.ChoiceField(label="Coupon", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Coupon.objects.filter(project=self.subscription.project, active=True)
        self.coupons = {one.public_id: one for one in rows.order_by("code")}
        self.fields["what"].choices = [
            ("", "Choose..."),
            *((key, f"{one}: {one.off}, {one.length}") for key, one in self.coupons.items()),
        ]

    def follows(self) -> list[str]:
        if self.preview is not None:
            return ["This is what follows. Press the button again to give it."]
        return ["It counts from the next invoice on. The button shows that invoice first."]

    def ask(self) -> ChangePreview:
        coupon = self.coupons[self.cleaned_data["what"]]
        return preview_given(
            subscription=self.subscription, coupon=coupon, at=now().replace(microsecond=0)
        )


class TakeDiscountDialog(PreviewedDialog):
    what = forms.ChoiceField(label="Discount", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["what"].choices = [
            ("", "Choose..."),
            *((one["id"], one["name"] or one["coupon"]) for one in self.subscription.discounts),
        ]

    def follows(self) -> list[str]:
        if self.preview is not None:
            return ["This is what follows. Press the button again to take it away."]
        if not self.subscription.discounts:
            return ["It has no discount."]
        return ["From the next invoice on the full price counts. The button shows it first."]

    def ask(self) -> ChangePreview:
        return preview_taken(
            subscription=self.subscription,
            discount_id=self.cleaned_data["what"],
            at=now().replace(microsecond=0),
        )
