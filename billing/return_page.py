"""What the page says on which a buyer lands after paying."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import TextChoices

from billing.claims import CheckoutKey, key_of_checkout, source_ref_of
from billing.models import Checkout, CheckoutState
from billing.prices import price_text
from entitlements.models import Grant

# Seconds until the page looks again by itself, look by look; after the last the buyer has to.
LOOKS = (2, 3, 5, 10, 20, 30)


class Stage(TextChoices):
    """How far a purchase is, in the buyer's eyes."""

    WAITING = "waiting"  # not paid yet, or we cannot ask Stripe
    SETTLING = "settling"  # done at Stripe, but no access has come of it so far
    OPEN = "open"
    ENDED = "ended"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True)
class ReturnPage:
    """`next_look` is the number of the next look, or None when the page stays as it is."""

    checkout: Checkout
    stage: Stage
    price: str
    key: CheckoutKey | None
    next_look: int | None
    look_in_seconds: int
    can_still_pay: bool


def return_page_of(*, checkout: Checkout, look: int, at: datetime) -> ReturnPage:
    """The page for a buyer who sees it for the `look`th time, counted from 0."""
    stage = stage_of(checkout=checkout, at=at)
    waits = stage in (Stage.WAITING, Stage.SETTLING) and look < len(LOOKS)
    return ReturnPage(
        checkout=checkout,
        stage=stage,
        price=price_of(checkout),
        key=key_of_checkout(checkout=checkout, at=at),
        next_look=look + 1 if waits else None,
        look_in_seconds=LOOKS[look] if waits else 0,
        can_still_pay=stage == Stage.WAITING and checkout.session_url != "",
    )


def stage_of(*, checkout: Checkout, at: datetime) -> Stage:
    """What the buyer may count on now; a page opened again later tells of an end, too."""
    if checkout.state in (CheckoutState.PENDING, CheckoutState.OPEN):
        return Stage.WAITING
    if checkout.state != CheckoutState.COMPLETE:
        return Stage.FAILED if checkout.state == CheckoutState.FAILED else Stage.EXPIRED
    grants = Grant.objects.filter(consumer=checkout.consumer, source_ref=source_ref_of(checkout))
    if grants.live(at).exists():
        return Stage.OPEN
    return Stage.ENDED if grants.exists() else Stage.SETTLING


def price_of(checkout: Checkout) -> str:
    """ "14.99 USD per month", or "3 x 14.99 USD per month"."""
    price = checkout.price
    count = f"{checkout.quantity} x " if checkout.quantity > 1 else ""
    return f"{count}{price_text(price)}"
