"""What follows when a change to a subscription is settled, and how one without answer is found."""

from billing import access, gateway
from billing.gateway import Object
from billing.models import Operation, Subscription
from keystore import audit


def settle_cancel(operation: Operation, found: Object) -> None:
    """The status at once; access follows with the sync that the event brings."""
    Subscription.objects.filter(stripe_subscription_id=operation.subject).update(
        status=found["status"]
    )


def find_canceled(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/subscriptions/{operation.subject}")
    return found if found["status"] in access.ENDED else None


def settle_update(operation: Operation, found: Object) -> None:
    """Nothing here: our columns and the access follow with the sync, in one transaction."""


def find_updated(operation: Operation) -> Object | None:
    """The subscription if it carries the operation's mark, which is written with the change."""
    found = gateway.read(f"/v1/subscriptions/{operation.subject}")
    mark = (found["metadata"] or {}).get("operation_id")
    return found if mark == operation.public_id else None


def find_resumed(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/subscriptions/{operation.subject}")
    return found if found["status"] != "paused" else None


def fail_update(operation: Operation, problem: str) -> None:
    """Stripe refused it as a whole: put that on record beside the wish."""
    subscription = Subscription.objects.select_related("consumer").get(
        stripe_subscription_id=operation.subject
    )
    audit.record(
        actor=operation.actor,
        act="subscription.refused",
        target=subscription,
        consumer=subscription.consumer,
        after={"operation": operation.public_id, "problem": problem},
    )
