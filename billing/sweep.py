"""Checkouts that nobody brought to their end: no webhook came, no buyer came back."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from billing.checkout import fulfil_checkout
from billing.models import Checkout, CheckoutState
from config.errors import DomainError

UNFINISHED = (CheckoutState.PENDING, CheckoutState.OPEN)

logger = logging.getLogger(__name__)

YOUNGEST = timedelta(seconds=60)  # before that the buyer is still typing
OLDEST = timedelta(hours=48)  # Stripe ends sessions after 24 h


def sweep_checkouts(*, clock: Callable[[], datetime], limit: int = 50) -> int:
    """Ask Stripe about unfinished checkouts; returns how many reached an end.

    Each is looked at less often the older it gets, so abandoned ones do not crowd out new ones.
    """
    at = clock()
    waiting = Checkout.objects.select_related("consumer__project", "price", "plan").filter(
        state__in=UNFINISHED,
        next_look_at__lte=at,
        created_at__lte=at - YOUNGEST,
        created_at__gte=at - OLDEST,
    )
    return sum(_look_at(checkout, clock) for checkout in waiting.order_by("next_look_at")[:limit])


def _look_at(checkout: Checkout, clock: Callable[[], datetime]) -> bool:
    try:
        fulfil_checkout(checkout=checkout, clock=clock)
    except DomainError as problem:
        logger.warning(
            "checkout.sweep_failed",
            extra={"checkout": checkout.public_id, "why": problem.message},
        )
    at = clock()
    age = max(at - checkout.created_at, YOUNGEST)
    Checkout.objects.filter(pk=checkout.pk).update(next_look_at=at + age / 2)
    return checkout.state not in UNFINISHED
