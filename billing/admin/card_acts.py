"""The cards that Stripe has of a consumer: listed when somebody looks, changed in dialogs."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from billing import gateway, subscription_desk
from billing.cards import Card, cards_of
from billing.models import StripeCustomer
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import ReasonDialog, carry_out, opened_on
from keystore.admin.pages import actor_of, holds, row_or_404

LOOK_SECONDS = 4.0  # a page waits so long for Stripe, then says so
ROWS = StripeCustomer.objects.select_related("consumer", "project")
CHANGE = "billing.change_plan_subscription"
SEE = "billing.view_stripecustomer"


class CardDialog(ReasonDialog):
    """Which of the cards that Stripe has now."""

    form_before_template = "admin/acts/follows.html"
    said = ""

    which_card = forms.ChoiceField(label="Card", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.holder: StripeCustomer = row_or_404(ROWS.all(), self.object_id)
        cards, self.problem = look_at_cards(self.holder)
        offered = [card for card in cards if self.offers(card)]
        self.fields["which_card"].choices = [
            ("", "Choose..."),
            *((card.stripe_id, card.text) for card in offered),
        ]
        self.initial.setdefault("which_card", self.request.GET.get("row", ""))

    def offers(self, card: Card) -> bool:
        return True

    def get_before_template_context(self, request: Any, object_id: Any = None) -> dict[str, Any]:
        return {"follows": [self.problem or self.said]}


class DefaultCardDialog(CardDialog):
    said = "All live subscriptions are paid with this card from their next charge on."


class LetCardGoDialog(CardDialog):
    said = (
        "Stripe forgets the card for this customer; it can only come back by being entered anew. "
        "A card that pays for a subscription is not on offer."
    )

    def offers(self, card: Card) -> bool:
        return not card.pays_for


def look_at_cards(holder: StripeCustomer) -> tuple[list[Card], str]:
    """The cards, or why they cannot be listed now."""
    try:
        with gateway.deadline(LOOK_SECONDS):
            return cards_of(holder=holder), ""
    except DomainError as problem:
        return [], f"Stripe did not answer: {problem.message}"


class CardActs:
    """Mixed into the page of Stripe customers."""

    admin_site: Any
    actions_detail: Any = ("default_card", "let_card_go")
    has_cards_permission = holds(CHANGE, SEE)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_GET(cards_fragment))
        name = "billing_stripecustomer_cards"
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("<str:object_id>/cards/", view, name=name), *urls]

    @action(
        description="Set the default card",
        icon="credit_card",
        permissions=["cards"],
        dialog={"title": "Pay with another card", "form_class": DefaultCardDialog},
    )
    def default_card(self, request: HttpRequest, form: CardDialog, object_id: str) -> HttpResponse:
        return _act(request, form, subscription_desk.set_default_card)

    @action(
        description="Let a card go",
        icon="credit_card_off",
        permissions=["cards"],
        dialog={"title": "Let a card go", "form_class": LetCardGoDialog},
    )
    def let_card_go(self, request: HttpRequest, form: CardDialog, object_id: str) -> HttpResponse:
        return _act(request, form, subscription_desk.detach_card)


def _act(request: HttpRequest, form: CardDialog, act: Callable[..., str]) -> HttpResponse:
    holder = form.holder

    def deed() -> str:
        return act(
            holder=holder,
            stripe_id=form.cleaned_data["which_card"],
            actor=actor_of(request),
            reason=form.reason,
            clock=now,
        )

    consumer = reverse("admin:keystore_consumer_change", args=[holder.consumer_id])
    own = reverse("admin:billing_stripecustomer_change", args=[holder.pk])
    back = opened_on(request, pages=[consumer], otherwise=own)
    return carry_out(request, form, deed, back=back)


def cards_fragment(request: HttpRequest, object_id: str) -> HttpResponse:
    """A part of the consumer page that is asked for when the page is there already."""
    if not request.user.has_perm(SEE):
        raise PermissionDenied
    holder = row_or_404(ROWS.all(), object_id)
    cards, problem = look_at_cards(holder)
    pages = {
        name: reverse(f"admin:billing_stripecustomer_{name}", args=[holder.pk])
        for name in ("default_card", "let_card_go")
    }
    context = {
        "cards": cards,
        "problem": problem,
        "may_change": request.user.has_perm(CHANGE),
        "pages": pages,
    }
    return render(request, "admin/acts/cards.html", context)
