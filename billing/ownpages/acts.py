"""What customers do on their pages. Each act is a POST form, works without JavaScript, and twice
is once: it asks for a state, and a change of plan for the price that was shown.
"""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing import gateway, subscription_desk
from billing.checkout import Wish, start_checkout
from billing.models import CheckoutMode, DashboardLink, PriceKind
from billing.ownpages.offers import own_subscription, price_on_sale
from billing.ownpages.pages import not_here
from billing.ownpages.refusals import words_for
from billing.ownpages.visitor import for_visitor
from billing.portal import open_portal
from billing.subscription_desk import Outcome
from config.clock import now
from config.errors import DomainError, NotFound
from keystore import handover
from keystore.models import ApiKey
from keystore.rotation import rotate_key

WAIT_SECONDS = 12.0
OVERLAP = timedelta(days=7)
REASON = "asked for on the customer's own page"


def actor_of(visit: DashboardLink) -> str:
    return f"user:{visit.consumer.public_id}"


@require_POST
@for_visitor
def cancel(request: HttpRequest, visit: DashboardLink, subscription_id: str) -> HttpResponse:
    """Let it run to the end of what is paid."""
    done = _("It will not be renewed. You can use it until the end of what is paid.")
    return _subscription_act(
        request, visit, subscription_id, subscription_desk.cancel_at_period_end, done
    )


@require_POST
@for_visitor
def keep(request: HttpRequest, visit: DashboardLink, subscription_id: str) -> HttpResponse:
    """Take the end back."""
    done = _("It renews again.")
    return _subscription_act(request, visit, subscription_id, subscription_desk.uncancel, done)


def _subscription_act(
    request: HttpRequest,
    visit: DashboardLink,
    subscription_id: str,
    act: Callable[..., Outcome],
    done: str,
) -> HttpResponse:
    def deed() -> str:
        row = own_subscription(visit.consumer, subscription_id)
        outcome = act(subscription=row, actor=actor_of(visit), reason=REASON, clock=now)
        return told(outcome, done)

    return carry_out(request, deed, back="dashboard")


def told(outcome: Outcome, done: str) -> str:
    return done if outcome.done else _("It is on its way and happens once: look again in a minute.")


def carry_out(request: HttpRequest, deed: Callable[[], str], *, back: str) -> HttpResponse:
    """Do it, say what came of it on the page it leads back to; a reload repeats nothing."""
    try:
        with gateway.deadline(WAIT_SECONDS):
            messages.success(request, deed())
    except NotFound:
        return not_here(request)
    except DomainError as refusal:
        messages.error(request, words_for(refusal))
    return redirect(back)


@require_POST
@for_visitor
def buy(request: HttpRequest, visit: DashboardLink, price_id: str) -> HttpResponse:
    """On to the payment page; a purchase that is open already is gone on with."""
    home = f"{settings.PUBLIC_URL}{reverse('dashboard')}"

    def page() -> str:
        price = price_on_sale(visit.consumer.project, price_id)
        once = price.kind == PriceKind.ONE_OFF
        wish = Wish(
            consumer=visit.consumer,
            price=price,
            mode=CheckoutMode.PAYMENT if once else CheckoutMode.SUBSCRIPTION,
            success_url=home,
            cancel_url=home,
        )
        begun = start_checkout(wish=wish, actor=actor_of(visit), at=now())
        if not begun.session_url:
            raise gateway.StripeUnavailable("The payment page did not open.")
        return begun.session_url

    return _to_stripe(request, page)


@require_POST
@for_visitor
def portal(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """On to Stripe's portal: cards are added there, and addresses changed."""

    def page() -> str:
        home = f"{settings.PUBLIC_URL}{reverse('dashboard')}"
        session = open_portal(
            consumer=visit.consumer, return_url=home, actor=actor_of(visit), at=now()
        )
        return session.url

    return _to_stripe(request, page)


def _to_stripe(request: HttpRequest, page: Callable[[], str]) -> HttpResponse:
    try:
        with gateway.deadline(WAIT_SECONDS):
            return redirect(page())
    except NotFound:
        return not_here(request)
    except DomainError as refusal:
        messages.error(request, words_for(refusal))
        return redirect("dashboard")


@require_POST
@for_visitor
def claim(request: HttpRequest, visit: DashboardLink, key_id: str) -> HttpResponse:
    """Show a waiting key, once."""
    key = _own_keys(visit).filter(public_id=key_id).first()
    if key is None:
        return not_here(request)
    plaintext = handover.claim_key(key=key, at=now())
    if plaintext is None:
        messages.error(request, _("The key was shown before. Replace it if you do not have it."))
        return redirect("dashboard")
    return render(
        request, "billing/own/key.html", {"visit": visit, "key": key, "plaintext": plaintext}
    )


@require_POST
@for_visitor
def rotate(request: HttpRequest, visit: DashboardLink, key_id: str) -> HttpResponse:
    """A successor that waits on the page; the old key works on, so that nothing stands still.

    The key is shown by a click of its own: the answer to a second click could hide it for good.
    """

    def deed() -> str:
        key = _own_keys(visit).filter(public_id=key_id).first()
        if key is None:
            raise NotFound("There is no such key.")
        rotate_key(
            key=key,
            overlap=OVERLAP,
            actor=actor_of(visit),
            reason=REASON,
            at=now(),
            claimable=True,
        )
        return _("A new key waits for you below. The old one works for another week.")

    return carry_out(request, deed, back="dashboard")


def _own_keys(visit: DashboardLink) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(consumer=visit.consumer).select_related("project")
