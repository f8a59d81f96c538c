"""What staff do to a subscription, from its own page and from the rows of the consumer page."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.decorators import action
from unfold.enums import ActionVariant

from billing import gateway, schedules, subscription_desk
from billing.admin.subscription_forms import (
    STRIPE_SECONDS,
    CancelLaterDialog,
    CancelNowDialog,
    ChangePlanDialog,
    PauseDialog,
    PricedDialog,
    ResumeDialog,
    SubscriptionDialog,
    UncancelDialog,
)
from billing.admin.subscription_later_forms import (
    AgreePriceDialog,
    QuantityDialog,
    ScheduleDialog,
    WithdrawDialog,
)
from billing.admin.subscription_pages import back_of
from billing.overrides import set_override
from billing.subscription_desk import Outcome, PreviewOutdated
from config.clock import now
from config.errors import DomainError, InvalidInput
from keystore.admin.dialogs import carry_out
from keystore.admin.pages import actor_of, holds


class SubscriptionActs:
    """Mixed into the page of subscriptions."""

    actions_detail: Any = (
        "change_plan",
        {
            "title": "Cancel or pause",
            "icon": "event_busy",
            "items": ["cancel_later", "cancel_now", "uncancel", "pause", "resume"],
        },
        {
            "title": "More",
            "icon": "tune",
            "items": [
                *("change_quantity", "schedule_change", "withdraw_change", "agree_price"),
                *("give_discount", "take_discount"),
            ],
        },
    )
    has_change_it_permission = holds(
        "billing.change_plan_subscription", "billing.view_subscription"
    )
    has_agree_permission = holds("billing.agree_price", "billing.view_subscription")

    @action(
        description="Change the plan",
        icon="swap_horiz",
        variant=ActionVariant.PRIMARY,
        permissions=["change_it"],
        dialog={"title": "Change the plan", "form_class": ChangePlanDialog},
    )
    def change_plan(
        self, request: HttpRequest, form: ChangePlanDialog, object_id: str
    ) -> HttpResponse:
        if not form.is_confirmed:
            return _priced(request, form)
        return _act(
            request,
            form,
            subscription_desk.change_plan,
            price=form.chosen,
            prorate=form.prorate,
            seen=form.seen,
        )

    @action(
        description="Cancel at the end of the period",
        permissions=["change_it"],
        dialog={"title": "Cancel at the end of the period", "form_class": CancelLaterDialog},
    )
    def cancel_later(
        self, request: HttpRequest, form: SubscriptionDialog, object_id: str
    ) -> HttpResponse:
        return _act(request, form, subscription_desk.cancel_at_period_end)

    @action(
        description="Cancel now",
        variant=ActionVariant.DANGER,
        permissions=["change_it"],
        dialog={"title": "Cancel now", "form_class": CancelNowDialog},
    )
    def cancel_now(
        self, request: HttpRequest, form: SubscriptionDialog, object_id: str
    ) -> HttpResponse:
        return _act(request, form, subscription_desk.cancel_now)

    @action(
        description="Take the cancellation back",
        permissions=["change_it"],
        dialog={"title": "Take the cancellation back", "form_class": UncancelDialog},
    )
    def uncancel(
        self, request: HttpRequest, form: SubscriptionDialog, object_id: str
    ) -> HttpResponse:
        return _act(request, form, subscription_desk.uncancel)

    @action(
        description="Pause",
        permissions=["change_it"],
        dialog={"title": "Pause the subscription", "form_class": PauseDialog},
    )
    def pause(self, request: HttpRequest, form: PauseDialog, object_id: str) -> HttpResponse:
        return _act(request, form, subscription_desk.pause, resumes_at=form.resumes_at)

    @action(
        description="Resume",
        permissions=["change_it"],
        dialog={"title": "Resume the subscription", "form_class": ResumeDialog},
    )
    def resume(self, request: HttpRequest, form: ResumeDialog, object_id: str) -> HttpResponse:
        return _act(request, form, subscription_desk.resume, seen=form.seen)

    @action(
        description="Change the quantity",
        permissions=["change_it"],
        dialog={"title": "Change the quantity", "form_class": QuantityDialog},
    )
    def change_quantity(
        self, request: HttpRequest, form: QuantityDialog, object_id: str
    ) -> HttpResponse:
        if not form.is_confirmed:
            return _priced(request, form)
        return _act(
            request,
            form,
            subscription_desk.change_plan,
            price=form.chosen,
            quantity=form.quantity,
            prorate=form.prorate,
            seen=form.seen,
        )

    @action(
        description="Change the plan later",
        permissions=["change_it"],
        dialog={"title": "Change the plan later", "form_class": ScheduleDialog},
    )
    def schedule_change(
        self, request: HttpRequest, form: ScheduleDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                made = schedules.schedule_change(
                    subscription=form.subscription,
                    price=form.chosen,
                    quantity=None,
                    due_at=form.due_at,
                    actor=actor_of(request),
                    reason=form.reason,
                    at=now(),
                )
            return f"It changes to {form.chosen.plan} on {made.due_at:%Y-%m-%d}."

        return carry_out(request, form, deed, back=_back(request, form))

    @action(
        description="Withdraw what is scheduled",
        permissions=["change_it"],
        dialog={"title": "Withdraw what is scheduled", "form_class": WithdrawDialog},
    )
    def withdraw_change(
        self, request: HttpRequest, form: WithdrawDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            schedules.withdraw(
                subscription=form.subscription,
                actor=actor_of(request),
                reason=form.reason,
                at=now(),
            )
            return "What was scheduled does not happen."

        return carry_out(request, form, deed, back=_back(request, form))

    @action(
        description="Agree on a price",
        permissions=["agree"],
        dialog={"title": "Agree on a price with this consumer", "form_class": AgreePriceDialog},
    )
    def agree_price(
        self, request: HttpRequest, form: AgreePriceDialog, object_id: str
    ) -> HttpResponse:
        def deed() -> str:
            if form.listed is None:
                raise InvalidInput("Its price is not in our catalogue.")
            with gateway.deadline(STRIPE_SECONDS):
                set_override(
                    consumer=form.subscription.consumer,
                    price=form.listed,
                    amount_minor=form.amount_minor,
                    actor=actor_of(request),
                    reason=form.reason,
                    at=now(),
                )
            return form.said()

        return carry_out(request, form, deed, back=_back(request, form))


def _act(
    request: HttpRequest, form: SubscriptionDialog, act: Callable[..., Outcome], **more: Any
) -> HttpResponse:
    subscription = form.subscription

    def deed() -> str:
        try:
            outcome = act(
                subscription=subscription,
                actor=actor_of(request),
                reason=form.reason,
                clock=now,
                **more,
            )
        except PreviewOutdated:
            if isinstance(form, ResumeDialog | PricedDialog):
                form.price_it()  # shown with the refusal: the next click agrees to the new price
            raise
        return outcome.said

    return carry_out(request, form, deed, back=_back(request, form))


def _back(request: HttpRequest, form: SubscriptionDialog) -> str:
    return back_of(request, form.subscription)


def _priced(request: HttpRequest, form: PricedDialog) -> HttpResponse:
    """The dialog again, with what the change would cost."""
    try:
        form.price_it()
    except DomainError as refusal:
        form.add_error(form.asks_for, refusal.message)
    return render(request, "unfold/helpers/dialog.html", {"form": form, "dialog": {}})
