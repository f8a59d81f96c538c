"""What a sync found new, told to the project's hooks in the sync's own transaction."""

from datetime import datetime, timedelta
from typing import Any

from billing.models import Payment, StripeCustomer, Subscription
from keystore.outbox import tell

RECENT = timedelta(days=3)  # an older failure is history that a full sync brought


def tell_of_subscription(
    *, before: Subscription | None, row: Subscription, holder: StripeCustomer, at: datetime
) -> None:
    """Created, updated or ended; nothing when nothing that is told has changed."""
    told = subscription_told(row, holder)
    if before is not None and subscription_told(before, holder) == told:
        return
    kind = "subscription.updated"
    if row.ended_at is not None and (before is None or before.ended_at is None):
        kind = "subscription.ended"
    elif before is None:
        kind = "subscription.created"
    tell(project=holder.project, consumer=holder.consumer, kind=kind, data=told, at=at)


def subscription_told(row: Subscription, holder: StripeCustomer) -> dict[str, Any]:
    """A subscription as receivers see it."""
    return {
        "subscription_id": row.stripe_subscription_id,
        "user_id": holder.consumer.external_id,
        "consumer_id": holder.consumer.public_id,
        "status": row.status,
        "plan": row.plan.code if row.plan else None,
        "price_id": row.price.stripe_price_id if row.price else None,
        "quantity": row.quantity,
        "currency": row.currency,
        "current_period_end": row.current_period_end,
        "cancel_at": row.cancel_at,
        "trial_end": row.trial_end,
        "ended_at": row.ended_at,
        "paused": row.paused,
    }


def tell_of_failed_payment(
    *, before: Payment | None, row: Payment, holder: StripeCustomer, at: datetime
) -> None:
    """Once for each payment that fails."""
    failed_before = before is not None and before.status == "failed"
    if row.status != "failed" or failed_before or at - row.created_at > RECENT:
        return
    data = {
        "payment_id": row.public_id,
        "charge_id": row.stripe_charge_id,
        "user_id": holder.consumer.external_id,
        "consumer_id": holder.consumer.public_id,
        "invoice_id": row.stripe_invoice_id or None,
        "currency": row.currency,
        "reason": row.failure_message,
    }
    tell(project=holder.project, consumer=holder.consumer, kind="payment.failed", data=data, at=at)
