"""The same plan bought twice: the later subscription is ended and its money given back.

Checkouts guard against it, but a buyer can pay in two tabs, or pay an old page late.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Owned:
    """A subscription of a consumer, as far as it may be one too many."""

    stripe_subscription_id: str
    status: str
    started_at: datetime
    single_plan_ids: frozenset[int]  # of which nobody may have two
    by_checkout: bool  # of ours


def doubled(bought: Iterable[Bought]) -> set[str]:
    """The ids of those among one consumer's subscriptions that are one too many."""
    return one_too_many(
        Owned(
            facts.stripe_subscription_id,
            facts.status,
            facts.started_at,
            single_plans(prices),
            bool(facts.checkout_public_id),
        )
        for facts, prices in bought
    )


def single_plans(prices: Iterable[Price]) -> frozenset[int]:
    return frozenset(price.plan_id for price in prices if not price.plan.allows_many)


def one_too_many(owned: Iterable[Owned]) -> set[str]:
    """The ids of subscriptions beyond the first of a plan that allows only one. Pure.

    Only those that a checkout of ours made: what staff make at Stripe is meant.
    """
    seen: set[int] = set()
    extra: set[str] = set()
    for each in sorted(owned, key=lambda one: (one.started_at, one.stripe_subscription_id)):
        if each.status not in LIVE or not each.single_plan_ids:
            continue
        if each.single_plan_ids <= seen and each.by_checkout:
            extra.add(each.stripe_subscription_id)
        seen |= each.single_plan_ids
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
