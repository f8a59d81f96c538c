"""A person is forgotten, on request: here at once, at Stripe by an operation that follows.

Invoices, payments, refunds and ledgers stay under the consumer's own id, which names nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import transaction

from billing import gateway
from billing.customers import customers_held, customers_of
from billing.erase_rows import erase_sales
from billing.merge_rows import live_subscriptions
from billing.models import (
    Creator,
    CustomInvoice,
    Operation,
    OperationKind,
    StripeCustomer,
)
from billing.models.custom_invoices import UNDER_WAY
from billing.models.operations import OPEN_STATES
from billing.operations import want
from config.errors import InvalidInput
from entitlements.erasing import erase_grants
from keystore.doorbell import ring
from keystore.erasing import (
    ERASED_TOLD,
    Forgetter,
    NotErasable,
    erase_identity,
    erase_trail,
    record_erasure,
)
from keystore.models import Consumer
from keystore.outbox import tell
from metering.erasing import erase_remarks

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Erasure:
    """What became of a consumer. `done` False: it was erased before.

    `customers`: each of its customers at Stripe, and whether it is deleted there by now.
    """

    consumer: Consumer
    done: bool
    keys_revoked: int
    customers: list[tuple[str, bool]]


def erase_consumer(*, consumer: Consumer, actor: str, reason: str, clock: Clock) -> Erasure:
    """Take away whatever says who the consumer is. The same again changes nothing.

    Raises NotErasable with what to do first, CustomerBusy.
    """
    if not reason.strip():
        raise InvalidInput("Say why the data is erased: the audit trail keeps it.")
    with customers_held(consumer) as held, transaction.atomic():
        for lock in held.values():
            lock.require()
        return _erase(consumer, actor, reason, clock())


def blocks_of(consumer: Consumer) -> list[str]:
    """What stands against it, each with what to do; empty: nothing does."""
    live = live_subscriptions(consumer)
    found = [
        f"{row} ({row.plan or 'no plan'}) still runs: cancel it now, refund what is left of it, "
        "then erase."
        for row in live
    ]
    if Creator.objects.filter(consumer=consumer).exists():
        found.append(
            "They sell APIs: archive these, pay the creator out and close the account at Stripe; "
            "the law asks you to keep whom you paid."
        )
    if CustomInvoice.objects.filter(consumer=consumer, state__in=UNDER_WAY).exists():
        found.append("An invoice is being written: wait until it is sent, or withdraw it.")
    making = Operation.objects.filter(
        kind=OperationKind.CREATE_CUSTOMER, subject=consumer.public_id, state__in=OPEN_STATES
    )
    if making.exists():
        found.append("A call to Stripe is under way: wait a minute, then try again.")
    return found


def erasure_of(consumer: Consumer) -> Erasure:
    """Of somebody who is erased already."""
    rows = customers_of(consumer=consumer).order_by("pk")
    customers = [(row.stripe_customer_id, row.deleted_at is not None) for row in rows]
    return Erasure(consumer, False, 0, customers)


def find_deleted(operation: Operation) -> gateway.Object | None:
    """The customer, if it is deleted at Stripe."""
    found = gateway.read(operation.path)
    return found if found.get("deleted") else None


def settle_deletion(operation: Operation, found: gateway.Object) -> None:
    StripeCustomer.objects.filter(stripe_customer_id=operation.subject, deleted_at=None).update(
        deleted_at=operation.finished_at
    )


def _erase(consumer: Consumer, actor: str, reason: str, at: datetime) -> Erasure:
    rows = Consumer.objects.select_for_update(of=("self",), no_key=True).select_related("project")
    consumer = rows.get(pk=consumer.pk)
    if consumer.erased_at is not None:
        return erasure_of(consumer)
    if consumer.merged_into_id is not None:
        raise NotErasable("They were merged into another consumer: erase that one.")
    blocks = blocks_of(consumer)
    if blocks:
        raise NotErasable(" ".join(blocks))
    person = [consumer, *rows.filter(merged_into=consumer).order_by("pk")]
    names = [one.external_id for one in person]
    forget = Forgetter(person)
    erase_sales(consumers=person, forget=forget)
    erase_remarks(consumers=person, forget=forget)
    erase_grants(consumers=person, forget=forget)
    keys = erase_identity(consumers=person, forget=forget, actor=actor, at=at)
    erase_trail(consumers=person, forget=forget)
    customers = _delete_at_stripe(consumer, actor, at)
    after = {"keys_revoked": keys, "customers": customers}
    record_erasure(consumer=consumer, after=after, actor=actor, reason=forget.text(reason), at=at)
    _tell(consumer, names, at)
    return Erasure(consumer, True, keys, [(one, False) for one in customers])


def _delete_at_stripe(consumer: Consumer, actor: str, at: datetime) -> list[str]:
    """Stripe keeps charges and invoices of a deleted customer, and forgets cards and address."""
    rows = customers_of(consumer=consumer).filter(deleted_at=None).order_by("pk")
    ids = list(rows.values_list("stripe_customer_id", flat=True))
    for customer_id in ids:
        want(
            project=consumer.project,
            kind=OperationKind.DELETE_CUSTOMER,
            path=f"/v1/customers/{customer_id}",
            params={},
            method="delete",
            subject=customer_id,
            actor=actor,
            at=at,
        )
    if ids:
        transaction.on_commit(partial(ring, "billing.tasks.settle_operations"))
    return ids


def _tell(consumer: Consumer, names: list[str], at: datetime) -> None:
    """Apps forget theirs; under which name they knew the user is forgotten when all were told."""
    for name in names:
        tell(
            project=consumer.project,
            kind=ERASED_TOLD,
            data={"id": consumer.public_id, "user_id": name},
            consumer=consumer,
            at=at,
        )
