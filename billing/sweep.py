"""Checkouts that nobody brought to their end: no webhook came, no buyer came back."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from billing.checkout import fulfil_checkout
from billing.models import Checkout, CheckoutState
from config.errors import DomainError

logger = logging.getLogger(__name__)

YOUNGEST = timedelta(seconds=60)  # before that the buyer is still typing
OLDEST = timedelta(hours=48)  # Stripe ends sessions after 24 h


def sweep_checkouts(*, clock: Callable[[], datetime], limit: int = 50) -> int:
    """Ask Stripe about unfinished checkouts; returns how many reached an end."""
    at = clock()
    waiting = Checkout.objects.select_related("consumer__project", "price", "plan").filter(
        state__in=[CheckoutState.PENDING, CheckoutState.OPEN],
        created_at__lte=at - YOUNGEST,
        created_at__gte=at - OLDEST,
    )
    ended = 0
    for checkout in waiting.order_by("created_at")[:limit]:
        try:
            fulfil_checkout(checkout=checkout, clock=clock)
        except DomainError as problem:
            logger.warning(
                "checkout.sweep_failed",
                extra={"checkout": checkout.public_id, "why": problem.message},
            )
        ended += checkout.state not in (CheckoutState.PENDING, CheckoutState.OPEN)
    return ended
