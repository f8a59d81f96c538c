"""Saved payment methods of a consumer: added by Stripe's own forms, listed, chosen, let go.

Card data never comes here: Stripe.js or Stripe's page takes them, and we hold ids.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing import gateway, mirror
from billing.cards import Card, CardNotFound, cards_of, facts_of, require_own, want_attach
from billing.customers import ensure_customer
from billing.models import (
    Operation,
    OperationKind,
    OperationState,
    StripeCustomer,
)
from billing.operations import run_operation, want
from billing.shapes import ref
from billing.subscription_desk import set_default_card
from billing.subscriptions import AlreadySo
from config.errors import Unavailable
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Setup:
    """A way to add a payment method: `client_secret` for Stripe.js, `url` for Stripe's page."""

    setup_intent_id: str
    client_secret: str
    url: str


# What Stripe calls payment methods. Nothing else is worth a question, or safe in an address.
STRIPE_ID = re.compile(r"(?:pm|card|src|ba|py)_[0-9A-Za-z_]{1,200}")


def owner_at_stripe(stripe_id: str) -> str | None:
    """The Stripe customer that holds it, "" for nobody; None: there is no such payment method."""
    if not STRIPE_ID.fullmatch(stripe_id):
        return None
    try:
        found = gateway.read(f"/v1/payment_methods/{stripe_id}")
    except (gateway.StripeMissing, gateway.StripeRefused):
        return None
    return ref(found["customer"])


def holder_of(consumer: Consumer | None) -> StripeCustomer | None:
    """The consumer's living Stripe customer."""
    if consumer is None:
        return None
    rows = StripeCustomer.objects.select_related("consumer__project", "project")
    return rows.filter(consumer=consumer, deleted_at=None).first()


def list_cards(*, holder: StripeCustomer) -> tuple[list[Card], bool]:
    """The saved payment methods, newest first, and whether Stripe itself said so: while it does
    not answer, the ones that we saw last are told.
    """
    try:
        return cards_of(holder=holder), True
    except Unavailable:
        seen = mirror.payment_methods_of(stripe_customer_id=holder.stripe_customer_id)
        return [_as_seen(found) for found in seen], False


def _as_seen(found: gateway.Object) -> Card:
    facts = facts_of(found)
    text = " ".join(part for part in (facts["brand"], facts["last4"]) if part) or facts["kind"]
    return Card(found["id"], text, is_default=False, pays_for=(), named_by=(), **facts)


def begin_setup(*, consumer: Consumer, return_url: str, actor: str, at: datetime) -> Setup:
    """Begin to add a payment method. Raises Unavailable, StripeRefused."""
    holder = _ensured(consumer, actor, at)
    intent = _asked_once(
        holder,
        OperationKind.CREATE_SETUP,
        "/v1/setup_intents",
        {
            "customer": holder.stripe_customer_id,
            "usage": "off_session",
            "metadata": {"latchkey_consumer": consumer.public_id},
        },
        actor,
        at,
    )
    page = _asked_once(
        holder,
        OperationKind.CREATE_PORTAL,
        "/v1/billing_portal/sessions",
        {
            "customer": holder.stripe_customer_id,
            "return_url": return_url,
            "flow_data": {"type": "payment_method_update"},
        },
        actor,
        at,
    )
    return Setup(intent["id"], intent["client_secret"], page["url"])


def _ensured(consumer: Consumer, actor: str, at: datetime) -> StripeCustomer:
    holder = ensure_customer(consumer=consumer, actor=actor, at=at)
    if holder is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")
    return holder


def _asked_once(
    holder: StripeCustomer,
    kind: OperationKind,
    path: str,
    params: dict[str, object],
    actor: str,
    at: datetime,
) -> gateway.Object:
    """What serves only whoever waits for it: without an answer it is not tried again."""
    operation = want(
        project=holder.project, kind=kind, path=path, params=params, actor=actor, at=at
    )
    found = run_operation(operation=operation, at=at)
    if found is not None:
        return found
    if operation.state == OperationState.FAILED:
        raise gateway.StripeRefused(f"Stripe refused: {operation.error}")
    Operation.objects.filter(pk=operation.pk).exclude(state=OperationState.DONE).update(
        state=OperationState.FAILED, lease_until=None, finished_at=at
    )
    raise gateway.StripeUnavailable(f"Stripe did not answer: {operation.error} Try again.")


def attach_card(
    *, consumer: Consumer, stripe_id: str, as_default: bool, actor: str, clock: Clock
) -> Card:
    """Make a payment method from Stripe.js the consumer's own; the first one becomes the default.

    Raises CardNotFound for one that is somebody else's or does not exist; then nothing was
    changed. Raises StripeRefused when the bank declines it.
    """
    holder = _ensured(consumer, actor, clock())
    owner = owner_at_stripe(stripe_id)
    if owner not in ("", holder.stripe_customer_id):
        raise CardNotFound("There is no such payment method that could be added.")
    if not owner:
        _attach(holder, stripe_id, actor, clock())
    cards = cards_of(holder=holder)
    card = next((one for one in cards if one.stripe_id == stripe_id), cards[0])
    if as_default or not any(one.is_default for one in cards):
        _prefer(holder, card, actor, clock)
        cards = cards_of(holder=holder)
    return next(one for one in cards if one.stripe_id == card.stripe_id)


def _attach(holder: StripeCustomer, stripe_id: str, actor: str, at: datetime) -> None:
    with transaction.atomic():
        operation = want_attach(holder=holder, stripe_id=stripe_id, actor=actor, at=at)
        audit.record(
            actor=actor,
            act="card.attach",
            target=holder,
            consumer=holder.consumer,
            after={"card": stripe_id, "operations": [operation.public_id]},
            at=at,
        )
    run_operation(operation=operation, at=at)
    if operation.state == OperationState.FAILED:
        raise gateway.StripeRefused(f"The payment method was not added: {operation.error}")
    if operation.state != OperationState.DONE:
        raise gateway.StripeUnavailable(
            "Stripe has not answered yet; it is looked after. Look at the list in a moment."
        )


def _prefer(holder: StripeCustomer, card: Card, actor: str, clock: Clock) -> None:
    try:
        set_default_card(
            holder=holder, stripe_id=card.stripe_id, actor=actor, reason="added", clock=clock
        )
    except AlreadySo:
        return


def chosen_card(*, consumer: Consumer, named: str) -> str:
    """The id of the payment method to charge; "default" for the customer's own choice.

    Raises CardNotFound for one that is not the consumer's.
    """
    holder = holder_of(consumer)
    if holder is None:
        raise CardNotFound("Nothing is saved yet: add a payment method first, or leave it out.")
    if named != "default":
        require_own(holder=holder, stripe_id=named)
        return named
    customer = gateway.read(f"/v1/customers/{holder.stripe_customer_id}")
    default = ref((customer.get("invoice_settings") or {}).get("default_payment_method"))
    if not default:
        raise CardNotFound("No payment method is the default: name one, or make one the default.")
    return default
