"""Which Stripe customer is which consumer."""

from datetime import datetime

from django.conf import settings

from billing import gateway
from billing.models import Operation, OperationKind, OperationState, StripeCustomer
from billing.models.operations import OPEN_STATES
from billing.operations import OperationPending, run_operation, want
from keystore.models import Consumer


def ensure_customer(*, consumer: Consumer, actor: str, at: datetime) -> StripeCustomer | None:
    """The consumer's Stripe customer, made if need be; None while Stripe's answer is missing.

    The operation's subject is the consumer, so that two first checkouts make one customer.
    A customer that was deleted at Stripe is replaced. Raises StripeRefused.
    """
    holder = StripeCustomer.objects.filter(consumer=consumer, deleted_at=None).first()
    if holder is not None:
        return holder
    try:
        operation = want(
            project=consumer.project,
            kind=OperationKind.CREATE_CUSTOMER,
            path="/v1/customers",
            params=_params(consumer),
            subject=consumer.public_id,
            actor=actor,
            at=at,
        )
    except OperationPending:
        operation = Operation.objects.get(
            kind=OperationKind.CREATE_CUSTOMER,
            subject=consumer.public_id,
            state__in=OPEN_STATES,
        )
    run_operation(operation=operation, at=at)
    if operation.state == OperationState.FAILED:
        raise gateway.StripeRefused(f"Stripe refused the customer: {operation.error}")
    return StripeCustomer.objects.filter(consumer=consumer, deleted_at=None).first()


def _params(consumer: Consumer) -> dict[str, object]:
    params: dict[str, object] = {
        "metadata": {
            "latchkey_project": consumer.project.slug,
            "latchkey_consumer": consumer.public_id,
            "latchkey_user_id": consumer.external_id,
        }
    }
    if consumer.email:
        params["email"] = consumer.email
    if consumer.name:
        params["name"] = consumer.name
    return params


def settle_customer(operation: Operation, found: gateway.Object) -> None:
    """Remember the customer that was made, unless its consumer has a living one already."""
    consumer = Consumer.objects.get(public_id=operation.subject)
    StripeCustomer.objects.filter(consumer=consumer, deleted_at__isnull=False).update(
        stripe_customer_id=found["id"], deleted_at=None, currency=""
    )
    StripeCustomer.objects.get_or_create(
        consumer=consumer,
        defaults={"project_id": consumer.project_id, "stripe_customer_id": found["id"]},
    )


def find_holder(*, stripe_customer_id: str) -> StripeCustomer | None:
    rows = StripeCustomer.objects.select_related("consumer__project", "project__billing_policy")
    return rows.filter(stripe_customer_id=stripe_customer_id).first()


def adopt_holder(*, found: gateway.Object) -> StripeCustomer | None:
    """The holder named by a customer's own metadata: ours, though the answer that told us of
    it was lost. None if the customer is none of ours or its consumer has another one.
    """
    mark = (found.get("metadata") or {}).get("latchkey_consumer", "")
    consumer = Consumer.objects.filter(public_id=mark).first() if mark else None
    if consumer is None or found.get("livemode", settings.STRIPE_LIVE_MODE) is not (
        settings.STRIPE_LIVE_MODE
    ):
        return None
    holder, _ = StripeCustomer.objects.get_or_create(
        consumer=consumer,
        defaults={"project_id": consumer.project_id, "stripe_customer_id": found["id"]},
    )
    return find_holder(stripe_customer_id=found["id"]) and holder
