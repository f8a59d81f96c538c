"""Handing the buyer the key that the purchase made, once."""

from dataclasses import dataclass
from datetime import datetime

from billing.models import Checkout, Purchase
from billing.provision import slot_of
from keystore.handover import claim_key
from keystore.models import ApiKey
from keystore.selectors import key_for_slot


@dataclass(frozen=True)
class CheckoutKey:
    """The key of a completed checkout. `plaintext` only in the one answer that claims it."""

    key: ApiKey
    claimable: bool
    plaintext: str | None = None


def source_ref_of(checkout: Checkout) -> str:
    """What its grants and its key are bound to; "" when nothing was bought so far."""
    bought = checkout.stripe_subscription_id or checkout.stripe_payment_intent_id
    if bought:
        return bought
    free = Purchase.objects.filter(checkout=checkout).first()  # cost nothing: no intent
    return free.public_id if free else ""


def key_of_checkout(*, checkout: Checkout, at: datetime) -> CheckoutKey | None:
    """The key that came with the purchase; None when the plan has none, or not yet."""
    source_ref = source_ref_of(checkout)
    if not source_ref:
        return None
    key = key_for_slot(project=checkout.project, slot=slot_of(source_ref))
    if key is None:
        return None
    claim = getattr(key, "claim", None)
    claimable = (
        claim is not None
        and claim.claimed_at is None
        and claim.expires_at > at
        and key.revoked_at is None
    )
    return CheckoutKey(key=key, claimable=claimable)


def claim_key_of_checkout(*, checkout: Checkout, at: datetime) -> CheckoutKey | None:
    """The key with its plaintext, if nobody has claimed it before."""
    found = key_of_checkout(checkout=checkout, at=at)
    if found is None or not found.claimable:
        return found
    return CheckoutKey(key=found.key, claimable=False, plaintext=claim_key(key=found.key, at=at))
