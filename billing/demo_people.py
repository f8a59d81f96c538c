"""The buyers of the demo: each came to its state by what a buyer, staff or a bank really did."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings

from billing import gateway
from billing.access import ENDED
from billing.checkout import Wish, fulfil_checkout, start_checkout
from billing.claims import claim_key_of_checkout
from billing.demo_logins import Logins
from billing.demo_usage import use_some
from billing.locks import CustomerBusy
from billing.models import Checkout, CheckoutMode, CheckoutState, Subscription
from billing.on_sale import find_price
from billing.sync import sync_customer
from entitlements.models import Feature
from entitlements.services import give_grant
from keystore.ids import new_id
from keystore.models import Consumer, Project
from keystore.services import register_consumer

T = TypeVar("T")
Clock = Callable[[], datetime]
GOOD_CARD = "pm_card_visa"
LATER_REFUSED = "pm_card_chargeCustomerFail"  # can be saved; every charge is declined
PEOPLE = {
    "user_42": "",  # free, and without an e-mail address: as in the examples
    "ada": "Ada Lovelace",
    "grace": "Grace Hopper",
    "gina": "Gina Cancelled",
    "lou": "Lou Labs",
    "joan": "Joan Lifetime",
}
BUSY_TRIES = 20


def invite_people(*, project: Project, logins: Logins, clock: Clock) -> None:
    """user_42 free, ada on pro, grace past due, gina cancelled, lou with a grant of labs, joan
    with labs for life. Whoever is in that state already is left alone.
    """
    people = {user_id: _register(project, user_id, name) for user_id, name in PEOPLE.items()}
    _grant_labs(people["lou"], clock())
    if not settings.STRIPE_USES_SANDBOX:
        return  # nobody pays at a real Stripe by itself: buy with card 4242 4242 4242 4242
    _collect_key(buy(people["ada"], "pro", clock), "ada_key", logins, clock())
    use_some(consumer=people["ada"], at=clock())
    buy(people["joan"], "labs_lifetime", clock)
    buy(people["gina"], "pro", clock)
    _cancel(people["gina"], clock)
    buy(people["grace"], "basic", clock)
    miss_a_payment(people["grace"], clock)


def _register(project: Project, user_id: str, name: str) -> Consumer:
    email = f"{user_id}@space-journal.example" if name else ""
    return register_consumer(project=project, external_id=user_id, email=email, name=name)


def _grant_labs(lou: Consumer, at: datetime) -> None:
    give_grant(
        consumer=lou,
        feature=Feature.objects.get(project=lou.project, code="labs"),
        valid_from=None,
        valid_to=None,
        reason="VIP pilot",
        granted_by="support@spacehq",
        idempotency_key="demo:labs",
        actor="staff:support",
        at=at,
    )


def buy(consumer: Consumer, plan_code: str, clock: Clock) -> Checkout:
    """Through Checkout, as a buyer does; once."""
    done = Checkout.objects.filter(
        consumer=consumer, plan__code=plan_code, state=CheckoutState.COMPLETE
    ).first()
    if done is not None:
        return done
    price = find_price(project=consumer.project, plan_code=plan_code)
    mode = CheckoutMode.SUBSCRIPTION if price.interval else CheckoutMode.PAYMENT
    checkout = start_checkout(wish=Wish(consumer, price, mode), actor="system", at=clock())
    if checkout.state != CheckoutState.OPEN:
        raise gateway.StripeUnavailable(f"No page to pay on: {checkout.problem or 'no answer'}")
    session_id = checkout.stripe_session_id
    _stripe(f"/v1/payment_pages/{session_id}/confirm", payment_method=GOOD_CARD)
    return patiently(lambda: fulfil_checkout(checkout=checkout, clock=clock))


def _collect_key(checkout: Checkout, name: str, logins: Logins, at: datetime) -> None:
    found = claim_key_of_checkout(checkout=checkout, at=at)
    if found is not None and found.plaintext:
        logins.keep(name, found.plaintext)


def _cancel(gina: Consumer, clock: Clock) -> None:
    for subscription in Subscription.objects.filter(consumer=gina).exclude(status__in=ENDED):
        path = f"/v1/subscriptions/{subscription.stripe_subscription_id}"
        _stripe(path, _method="delete")
        _sync(gina, clock)


def miss_a_payment(grace: Consumer, clock: Clock) -> None:
    """Her card is replaced by one without money, then an upgrade is charged to it."""
    subscription = Subscription.objects.filter(consumer=grace, status="active").first()
    if subscription is None:
        return
    customer_id = grace.stripe_customer.stripe_customer_id
    card = _stripe(f"/v1/payment_methods/{LATER_REFUSED}/attach", customer=customer_id)
    _stripe(f"/v1/customers/{customer_id}", invoice_settings={"default_payment_method": card["id"]})
    path = f"/v1/subscriptions/{subscription.stripe_subscription_id}"
    item = gateway.read(path)["items"]["data"][0]
    team = find_price(project=grace.project, plan_code="team")
    _stripe(
        path,
        items=[{"id": item["id"], "price": team.stripe_price_id}],
        default_payment_method=card["id"],
        proration_behavior="always_invoice",
    )
    _sync(grace, clock)


def _sync(consumer: Consumer, clock: Clock) -> None:
    customer_id = consumer.stripe_customer.stripe_customer_id
    patiently(lambda: sync_customer(stripe_customer_id=customer_id, clock=clock, full=True))


def patiently(act: Callable[[], T]) -> T:
    """The worker follows the same events and may hold the customer for a moment."""
    for _ in range(BUSY_TRIES):
        try:
            return act()
        except CustomerBusy:
            time.sleep(0.2)
    return act()


def _stripe(path: str, _method: str = "post", **params: Any) -> gateway.Object:
    """What the buyer or the bank does at Stripe, not we."""
    return gateway.write(path, params, idempotency_key=new_id("demo"), method=_method)
