"""Which Stripe customer is which consumer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from billing import gateway
from billing.locks import HeldLock, customer_lock
from billing.models import Operation, OperationKind, OperationState, StripeCustomer
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation, want
from config.errors import Conflict
from keystore.models import Consumer


def ensure_customer(*, consumer: Consumer, actor: str, at: datetime) -> StripeCustomer | None:
    """The consumer's Stripe customer, made if need be; None while Stripe's answer is missing.

    Two first checkouts at once make one customer. A customer that was deleted at Stripe is
    replaced. Raises StripeRefused.
    """
    holder = _living(consumer)
    if holder is not None:
        return holder
    operation = _begin(consumer, actor, at)
    if operation is not None:
        run_operation(operation=operation, at=at)
        if operation.state == OperationState.FAILED:
            raise gateway.StripeRefused(f"Stripe refused the customer: {operation.error}")
    return _living(consumer)


def _living(consumer: Consumer) -> StripeCustomer | None:
    return StripeCustomer.objects.filter(consumer=consumer, deleted_at=None).first()


@transaction.atomic
def _begin(consumer: Consumer, actor: str, at: datetime) -> Operation | None:
    """The operation that makes the customer, joined or begun; None if one is there by now."""
    # Nobody begins beside us; and what was under way before is either seen here or, if it ended
    # since, has left its customer: so the operations come first, the customer second.
    held = Consumer.objects.select_for_update(of=("self",), no_key=True).get(pk=consumer.pk)
    if held.merged_into_id is not None or held.erased_at is not None:
        raise Conflict("This user was merged or erased a moment ago: ask again.")
    same = Operation.objects.filter(kind=OperationKind.CREATE_CUSTOMER, subject=consumer.public_id)
    under_way = same.filter(state__in=OPEN_STATES).first()
    if under_way is not None or _living(consumer) is not None:
        return under_way
    return want(
        project=consumer.project,
        kind=OperationKind.CREATE_CUSTOMER,
        path="/v1/customers",
        params=_params(consumer),
        subject=consumer.public_id,
        actor=actor,
        at=at,
    )


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
    """Whose customer it is; that of a merged consumer is the survivor's."""
    # Hardly anybody was merged, and both rows are of one project: to plan these joins as well would
    # take PostgreSQL longer than all the rest.
    rows = StripeCustomer.objects.select_related("consumer", "project__billing_policy")
    holder = rows.filter(stripe_customer_id=stripe_customer_id).first()
    if holder is None:
        return None
    if holder.consumer.merged_into is not None:
        holder.consumer = holder.consumer.merged_into
        # The survivor's own customer is another one: this one is not to pass for it.
        holder.consumer._state.fields_cache.pop("stripe_customer", None)
    if holder.consumer.project_id == holder.project_id:
        holder.consumer.project = holder.project
    return holder


def customers_of(*, consumer: Consumer) -> QuerySet[StripeCustomer]:
    """The consumer's Stripe customer, and those of consumers that were merged into it."""
    return StripeCustomer.objects.filter(Q(consumer=consumer) | Q(consumer__merged_into=consumer))


def adopt_holder(*, found: gateway.Object) -> StripeCustomer | None:
    """The holder named by a customer's own metadata: ours, though the answer that told us of
    it was lost. None if the customer is none of ours or its consumer has another one.
    """
    mark = (found.get("metadata") or {}).get("latchkey_consumer", "")
    consumer = Consumer.objects.filter(public_id=mark).first() if mark else None
    ours = settings.STRIPE_LIVE_MODE
    if consumer is None or consumer.erased_at is not None:
        return None
    if found.get("livemode", ours) is not ours:
        return None
    StripeCustomer.objects.get_or_create(
        consumer=consumer,
        defaults={"project_id": consumer.project_id, "stripe_customer_id": found["id"]},
    )
    return find_holder(stripe_customer_id=found["id"])


def customer_ids(*consumers: Consumer) -> list[str]:
    """Their customers at Stripe, also those of consumers that were merged into them."""
    rows = StripeCustomer.objects.filter(
        Q(consumer__in=consumers) | Q(consumer__merged_into__in=consumers)
    )
    return sorted(rows.values_list("stripe_customer_id", flat=True))


@contextmanager
def customers_held(*consumers: Consumer) -> Iterator[dict[str, HeldLock]]:
    """Nothing that Stripe says of them is written meanwhile; taken in one order by all."""
    with ExitStack() as held:
        yield {each: held.enter_context(customer_lock(each)) for each in customer_ids(*consumers)}
