"""Changes to subscriptions at Stripe."""

from datetime import datetime

from billing import access, gateway
from billing.gateway import Object
from billing.models import Operation, OperationKind, Subscription
from billing.operations import want


def want_cancel(*, subscription: Subscription, actor: str, at: datetime) -> Operation:
    """Write down that a subscription is to end now; run the operation after the commit."""
    return want(
        project=subscription.project,
        kind=OperationKind.CANCEL_SUBSCRIPTION,
        method="delete",
        path=f"/v1/subscriptions/{subscription.stripe_subscription_id}",
        params={},
        subject=subscription.stripe_subscription_id,
        actor=actor,
        at=at,
    )


def settle_cancel(operation: Operation, found: Object) -> None:
    """The status at once; access follows with the sync that the event brings."""
    Subscription.objects.filter(stripe_subscription_id=operation.subject).update(
        status=found["status"]
    )


def find_canceled(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/subscriptions/{operation.subject}")
    return found if found["status"] in access.ENDED else None
