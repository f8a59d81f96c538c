"""The customer's cards: which there are, which one pays, letting one go."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing import gateway
from billing.cards import Card, CardNotFound, cards_of
from billing.models import DashboardLink, StripeCustomer
from billing.ownpages.acts import REASON, WAIT_SECONDS, actor_of, carry_out
from billing.ownpages.refusals import words_for
from billing.ownpages.visitor import for_visitor
from billing.subscription_desk import detach_card, set_default_card
from config.clock import now
from config.errors import DomainError


@require_safe
@for_visitor
def cards(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """Asks Stripe, which alone knows them; when it does not answer the page says so."""
    found: list[Card] = []
    problem = ""
    try:
        with gateway.deadline(WAIT_SECONDS):
            found = cards_of(holder=_holder(visit))
    except CardNotFound:
        pass
    except DomainError as refusal:
        problem = words_for(refusal)
    shown = {"visit": visit, "cards": found, "problem": problem}
    return render(request, "billing/own/cards.html", shown)


@require_POST
@for_visitor
def use(request: HttpRequest, visit: DashboardLink, card_id: str) -> HttpResponse:
    """Pay with this one from now on."""
    return _act(request, visit, card_id, set_default_card, _("This card pays from now on."))


@require_POST
@for_visitor
def remove(request: HttpRequest, visit: DashboardLink, card_id: str) -> HttpResponse:
    """Let one go that pays for nothing."""
    return _act(request, visit, card_id, detach_card, _("The card is removed."))


def _act(
    request: HttpRequest, visit: DashboardLink, card_id: str, act: Callable[..., str], done: str
) -> HttpResponse:
    def deed() -> str:
        act(
            holder=_holder(visit),
            stripe_id=card_id,
            actor=actor_of(visit),
            reason=REASON,
            clock=now,
        )
        return done

    return carry_out(request, deed, back="dashboard-cards")


def _holder(visit: DashboardLink) -> StripeCustomer:
    """Raises CardNotFound for somebody whom Stripe does not know: they have none."""
    found = StripeCustomer.objects.select_related("project", "consumer")
    holder = found.filter(consumer=visit.consumer, deleted_at=None).first()
    if holder is None:
        raise CardNotFound("There is no card.")
    return holder
