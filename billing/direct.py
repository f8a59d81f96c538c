"""A subscription that is charged to a saved card at once, without Stripe's payment page.

Its checkout stays open while the first payment waits for the buyer: the guard against a second
one holds, and what Stripe ends after 23 hours ends here as well, without access.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import access, gateway
from billing.gateway import Object
from billing.models import (
    Checkout,
    CheckoutState,
    Operation,
    OperationKind,
    OperationState,
    StripeCustomer,
)
from billing.operations import run_operation, want
from billing.shapes import invoice_intents, ref
from billing.sync import NotOurs, sync_customer
from billing.tax import tax_params

UNFINISHED = (CheckoutState.PENDING, CheckoutState.OPEN)


@dataclass(frozen=True)
class NextStep:
    """What the buyer has to do before a subscription begins.

    `client_secret` is for Stripe.js (confirmPayment, or confirmSetup for a trial); `url` is
    Stripe's own page for the same. Neither is stored here.
    """

    code: str
    message: str
    client_secret: str | None = None
    url: str | None = None


NOTHING = NextStep("none", "Nothing: the subscription has begun.")
WAIT = NextStep("wait", "Stripe has not answered yet: ask again in a moment.")
START_AGAIN = NextStep(
    "start_again", "It was not paid in time and gives no access: subscribe again."
)


def subscription_params(
    checkout: Checkout, holder: StripeCustomer, items: list[dict[str, object]], mark: dict[str, str]
) -> dict[str, Any]:
    params: dict[str, Any] = {
        "customer": holder.stripe_customer_id,
        "items": items,
        "default_payment_method": checkout.stripe_payment_method_id,
        # The buyer is here: a card that asks for more leaves it incomplete, and they go on.
        "payment_behavior": "allow_incomplete",
        "metadata": mark,
    }
    if checkout.trial_days:
        params["trial_period_days"] = checkout.trial_days
    if checkout.promotion_code:
        code = checkout.promotion_code.stripe_promotion_code_id
        params["discounts"] = [{"promotion_code": code}]
    return {**params, **tax_params(checkout.project)}


def settle_subscription(operation: Operation, found: Object) -> None:
    """Whether it has begun says the sync that follows."""
    Checkout.objects.filter(operation=operation, state=CheckoutState.PENDING).update(
        state=CheckoutState.OPEN, stripe_subscription_id=found["id"]
    )


def fulfil_direct(*, checkout: Checkout, clock: Callable[[], datetime]) -> None:
    """Ask Stripe what became of it. Raises StripeUnavailable, CustomerBusy."""
    found = gateway.read(f"/v1/subscriptions/{checkout.stripe_subscription_id}")
    try:
        sync_customer(
            stripe_customer_id=found["customer"],
            clock=clock,
            touched=[("invoice", ref(found["latest_invoice"]))],
        )
    except NotOurs:
        Checkout.objects.filter(pk=checkout.pk, state__in=UNFINISHED).update(
            state=CheckoutState.EXPIRED, problem="its customer was deleted at Stripe"
        )


def close_direct(*, checkout: Checkout, actor: str, at: datetime) -> None:
    """End one that waits for its first payment, unless that has just been made.

    Its invoice is voided: Stripe refuses that for one that is paid, so nothing paid is ended.
    """
    found = gateway.read(f"/v1/subscriptions/{checkout.stripe_subscription_id}")
    invoice = ref(found["latest_invoice"])
    if found["status"] not in access.NOT_BEGUN or not invoice:
        return
    operation = want(
        project=checkout.project,
        kind=OperationKind.VOID_INVOICE,
        path=f"/v1/invoices/{invoice}/void",
        params={},
        subject=invoice,
        actor=actor,
        at=at,
    )
    run_operation(operation=operation, at=at)
    if operation.state == OperationState.DONE:
        Checkout.objects.filter(pk=checkout.pk, state__in=UNFINISHED).update(
            state=CheckoutState.EXPIRED, problem="another checkout for the plan took its place"
        )


def find_voided(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/invoices/{operation.subject}")
    return found if found["status"] == "void" else None


def next_step(checkout: Checkout) -> NextStep:
    """What the buyer has to do next. Asks Stripe while the first payment is open."""
    if checkout.state == CheckoutState.PENDING:
        return WAIT
    if checkout.state in (CheckoutState.EXPIRED, CheckoutState.FAILED):
        return START_AGAIN
    path = f"/v1/subscriptions/{checkout.stripe_subscription_id}"
    wanted = ["pending_setup_intent", "latest_invoice.confirmation_secret"]
    found = gateway.read(path, expand=[*wanted, "latest_invoice.payments"])
    setup = found.get("pending_setup_intent")
    if isinstance(setup, dict) and found["status"] == "trialing":
        return NextStep(
            "confirm_card",
            "The trial runs; confirm the card before it ends: pass client_secret to Stripe.js "
            "(confirmSetup), or let the user add a card.",
            client_secret=setup["client_secret"],
        )
    if found["status"] not in access.NOT_BEGUN:
        return NOTHING
    return _payment_step(found["latest_invoice"])


def _payment_step(invoice: Object) -> NextStep:
    secret = (invoice.get("confirmation_secret") or {}).get("client_secret")
    page = invoice.get("hosted_invoice_url")
    intents = [one for one in invoice_intents(invoice) if one]
    intent = gateway.read(f"/v1/payment_intents/{intents[0]}") if intents else {}
    if intent.get("status") == "requires_action":
        said = "The buyer's bank asks for a confirmation: pass client_secret to Stripe.js "
        said += "(confirmPayment) or send the buyer to confirmation_url, within 23 hours."
        return NextStep("confirm_payment", said, secret, page)
    why = (intent.get("last_payment_error") or {}).get("message") or "The card was not charged."
    said = f"{why} Let the buyer pay at confirmation_url, or send this again with another "
    return NextStep("pay_otherwise", f"{said}payment_method.", secret, page)
