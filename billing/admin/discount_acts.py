"""What staff do to the discounts of a subscription, on its page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.decorators import action

from billing import gateway, subscription_desk
from billing.admin.discount_forms import (
    GiveDiscountDialog,
    PreviewedDialog,
    TakeDiscountDialog,
)
from billing.admin.subscription_forms import STRIPE_SECONDS
from billing.admin.subscription_pages import back_of
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import carry_out
from keystore.admin.pages import actor_of, holds


class DiscountActs:
    """Mixed into the page of subscriptions."""

    has_discount_permission = holds("billing.discount_subscription", "billing.view_subscription")

    @action(
        description="Give a discount",
        permissions=["discount"],
        dialog={"title": "Give a discount", "form_class": GiveDiscountDialog},
    )
    def give_discount(
        self, request: HttpRequest, form: GiveDiscountDialog, object_id: str
    ) -> HttpResponse:
        return _changed(request, form, "subscription.give_discount")

    @action(
        description="Take a discount away",
        permissions=["discount"],
        dialog={"title": "Take a discount away", "form_class": TakeDiscountDialog},
    )
    def take_discount(
        self, request: HttpRequest, form: TakeDiscountDialog, object_id: str
    ) -> HttpResponse:
        return _changed(request, form, "subscription.take_discount")


def _changed(request: HttpRequest, form: PreviewedDialog, act: str) -> HttpResponse:
    if not form.is_confirmed:
        try:
            form.price_it()
        except DomainError as refusal:
            form.add_error(form.asks_for, refusal.message)
        return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})

    def deed() -> str:
        with gateway.deadline(STRIPE_SECONDS):
            outcome = subscription_desk.commit(
                price_it=form.ask,
                subscription=form.subscription,
                act=act,
                actor=actor_of(request),
                reason=form.reason,
                clock=now,
                also=lambda operation: None,
            )
        return outcome.said

    return carry_out(request, form, deed, back=back_of(request, form.subscription))
