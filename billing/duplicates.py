"""The same plan bought twice: the later subscription is ended and its money given back.

Checkouts guard against it, but a buyer can pay in two tabs, or pay an old page late.
"""

import contextlib
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import F

from billing import access
from billing.models import Checkout, Invoice, Payment, Price, StripeCustomer, Subscription
from billing.operations import OperationPending
from billing.refunds import want_refund
from billing.shapes import SubscriptionFacts
from billing.subscriptions import want_cancel
from keystore.doorbell import ring

Bought = tuple[SubscriptionFacts, list[Price]]

ACTOR = "system"
LIVE = access.PAYING | access.UNPAID_IN_GRACE
SAID = "The plan was bought twice: this later subscription was ended and paid back."


def doubled(bought: list[Bought]) -> set[str]:
    """The ids of subscriptions beyond the first of a plan that allows only one. Pure.

    Only those that a checkout of ours made: what staff make at Stripe is meant.
    """
    seen: set[int] = set()
    extra: set[str] = set()
    oldest_first = sorted(
        bought, key=lambda each: (each[0].started_at, each[0].stripe_subscription_id)
    )
    for facts, prices in oldest_first:
        single = {price.plan_id for price in prices if not price.plan.allows_many}
        if facts.status not in LIVE or not single:
            continue
        if single <= seen and facts.checkout_public_id:
            extra.add(facts.stripe_subscription_id)
        seen |= single
    return extra


def undo(*, holder: StripeCustomer, facts: SubscriptionFacts, at: datetime) -> None:
    """Write down that a doubled subscription is to be ended and paid back; the janitor does it.

    Safe to repeat: what is under way is left alone, what is paid back is not paid back again.
    """
    subscription = Subscription.objects.select_related("project").get(
        stripe_subscription_id=facts.stripe_subscription_id
    )
    Checkout.objects.filter(
        public_id=facts.checkout_public_id, consumer_id=holder.consumer_id
    ).update(problem=SAID)
    with contextlib.suppress(OperationPending):
        want_cancel(subscription=subscription, actor=ACTOR, at=at)
    for payment in _paid_for(subscription):
        _pay_back(payment, at)
    transaction.on_commit(partial(ring, "billing.tasks.settle_operations"))


def _paid_for(subscription: Subscription) -> list[Payment]:
    invoices = Invoice.objects.filter(
        stripe_subscription_id=subscription.stripe_subscription_id,
        consumer_id=subscription.consumer_id,
    )
    paid = Payment.objects.select_related("project", "consumer").filter(
        stripe_invoice_id__in=invoices.values("stripe_invoice_id"),
        status="succeeded",
        refunded_minor__lt=F("captured_minor"),
    )
    return list(paid)


def _pay_back(payment: Payment, at: datetime) -> None:
    with contextlib.suppress(OperationPending):
        want_refund(
            payment=payment,
            amount_minor=payment.captured_minor - payment.refunded_minor,
            reason="duplicate",
            actor=ACTOR,
            at=at,
        )
