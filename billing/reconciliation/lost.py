"""Subscriptions that Stripe, asked for them, does not have: only a repair ends what they open."""

from datetime import datetime

from django.db import transaction

from billing.models import Subscription
from billing.provision import Sale, provision
from entitlements.models import GrantSource
from entitlements.services import set_source_grants


@transaction.atomic
def end_lost_subscription(*, subscription: Subscription, actor: str, at: datetime) -> None:
    """Treat the subscription as canceled: its grants end, its key is revoked.

    Only for one of which Stripe answered that it is not there, while it knows its customer.
    """
    why = f"Stripe does not have {subscription.stripe_subscription_id}"
    Subscription.objects.filter(pk=subscription.pk).update(
        status="canceled", ended_at=at, canceled_at=at, synced_at=at
    )
    set_source_grants(
        consumer=subscription.consumer,
        source=GrantSource.SUBSCRIPTION,
        source_ref=subscription.stripe_subscription_id,
        wanted=[],
        reason=why,
        actor=actor,
        at=at,
    )
    if subscription.price is not None:
        sale = Sale(
            subscription.consumer,
            subscription.stripe_subscription_id,
            subscription.price,
            subscription.consumer.email,
        )
        provision(sale=sale, window=None, ended=True, at=at)
