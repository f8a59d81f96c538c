"""The cards that Stripe has of a consumer: which there are, which one pays, letting one go."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import access, gateway
from billing.gateway import Object
from billing.models import Operation, OperationKind, StripeCustomer
from billing.operations import want
from billing.shapes import ref
from config.errors import Conflict, NotFound


class CardInUse(Conflict):
    """The card pays for something that renews."""

    code = "card_in_use"


class CardNotFound(NotFound):
    code = "card_not_found"


@dataclass(frozen=True)
class Card:
    """One payment method. `pays_for` are the live subscriptions whose renewal it pays, `named_by`
    those among them that name it themselves and so do not follow the customer's default.
    """

    stripe_id: str
    text: str  # "visa 4242, expires 12/2034"
    is_default: bool
    pays_for: tuple[str, ...]
    named_by: tuple[str, ...]
    kind: str = "card"  # Stripe's word: card, sepa_debit, ...
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None


def cards_of(*, holder: StripeCustomer) -> list[Card]:
    """Asks Stripe. Raises StripeUnavailable, StripeMissing."""
    customer = gateway.read(f"/v1/customers/{holder.stripe_customer_id}")
    if customer.get("deleted"):
        return []
    default = ref((customer["invoice_settings"] or {}).get("default_payment_method"))
    path = f"/v1/customers/{holder.stripe_customer_id}/payment_methods"
    named = _cards_named(holder)
    return [
        Card(
            stripe_id=found["id"],
            text=_told(found),
            is_default=found["id"] == default,
            pays_for=tuple(sub for sub, card in named.items() if (card or default) == found["id"]),
            named_by=tuple(sub for sub, card in named.items() if card == found["id"]),
            **facts_of(found),
        )
        for found in gateway.read_all(path)
    ]


def facts_of(found: Object) -> dict[str, Any]:
    """What people know a payment method by; its numbers never come here."""
    told = found.get(found["type"]) or {}
    return {
        "kind": found["type"],
        "brand": told.get("brand") or "",
        "last4": told.get("last4") or "",
        "exp_month": told.get("exp_month"),
        "exp_year": told.get("exp_year"),
    }


def require_own(*, holder: StripeCustomer, stripe_id: str) -> None:
    """Raises CardNotFound unless the payment method is one of this customer's."""
    try:
        gateway.read(f"/v1/customers/{holder.stripe_customer_id}/payment_methods/{stripe_id}")
    except (gateway.StripeMissing, gateway.StripeRefused) as missing:
        raise CardNotFound(
            "This customer has no such payment method: look at the list."
        ) from missing


def _cards_named(holder: StripeCustomer) -> dict[str, str]:
    """The card that each live subscription names; "": the customer's default pays it."""
    found = gateway.read_all("/v1/subscriptions", customer=holder.stripe_customer_id)
    return {
        each["id"]: ref(each["default_payment_method"])
        for each in found
        if each["status"] not in access.ENDED and each["collection_method"] != "send_invoice"
    }


def _told(found: Object) -> str:
    card = found.get("card")
    if not card:
        return str(found["type"]).replace("_", " ")
    return f"{card['brand']} {card['last4']}, expires {card['exp_month']:02}/{card['exp_year']}"


def card_named(cards: list[Card], stripe_id: str) -> Card:
    """One of the consumer's own cards; anybody else's does not exist."""
    for card in cards:
        if card.stripe_id == stripe_id:
            return card
    raise CardNotFound("This customer has no such card (any more): look at the list again.")


def want_default_card(*, holder: StripeCustomer, card: Card, actor: str, at: datetime) -> Operation:
    """Write down that the card pays wherever no subscription names another one."""
    return want(
        project=holder.project,
        kind=OperationKind.SET_DEFAULT_CARD,
        path=f"/v1/customers/{holder.stripe_customer_id}",
        params={"invoice_settings": {"default_payment_method": card.stripe_id}},
        subject=holder.stripe_customer_id,
        actor=actor,
        at=at,
    )


def want_card_for(
    *, holder: StripeCustomer, card: Card, subscription_id: str, actor: str, at: datetime
) -> Operation:
    """Write down that a subscription is paid with the card."""
    return want(
        project=holder.project,
        kind=OperationKind.UPDATE_SUBSCRIPTION,
        path=f"/v1/subscriptions/{subscription_id}",
        params={"default_payment_method": card.stripe_id},
        subject=subscription_id,
        actor=actor,
        at=at,
    )


def want_attach(*, holder: StripeCustomer, stripe_id: str, actor: str, at: datetime) -> Operation:
    """Write down that a payment method made by Stripe.js becomes this customer's."""
    return want(
        project=holder.project,
        kind=OperationKind.ATTACH_CARD,
        path=f"/v1/payment_methods/{stripe_id}/attach",
        params={"customer": holder.stripe_customer_id},
        subject=stripe_id,
        actor=actor,
        at=at,
    )


def find_attached(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/payment_methods/{operation.subject}")
    return found if ref(found["customer"]) == operation.params["customer"] else None


def want_detach(*, holder: StripeCustomer, card: Card, actor: str, at: datetime) -> Operation:
    """Write down that the card is let go. Raises CardInUse while it pays for something."""
    if card.pays_for:
        raise CardInUse(
            f"{card.text} pays for {', '.join(card.pays_for)}: make another card the default "
            "first, or the next renewal fails."
        )
    return want(
        project=holder.project,
        kind=OperationKind.DETACH_CARD,
        path=f"/v1/payment_methods/{card.stripe_id}/detach",
        params={},
        subject=card.stripe_id,
        actor=actor,
        at=at,
    )


def find_default(operation: Operation) -> Object | None:
    """The customer if the wanted card is the default by now."""
    customer = gateway.read(f"/v1/customers/{operation.subject}")
    wanted = operation.params["invoice_settings"]["default_payment_method"]
    current = (customer.get("invoice_settings") or {}).get("default_payment_method")
    return customer if ref(current) == wanted else None


def find_detached(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/payment_methods/{operation.subject}")
    return None if found["customer"] else found
