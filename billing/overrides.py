"""A price that was agreed with one consumer: made at Stripe, and sold to nobody else."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from billing import gateway
from billing.gateway import Object
from billing.models import (
    Operation,
    OperationKind,
    OperationState,
    Price,
    PriceKind,
    PriceOverride,
)
from billing.operations import run_operation, want
from billing.shapes import ref
from config.errors import Conflict, InvalidInput
from keystore import audit
from keystore.locking import upsert
from keystore.models import Consumer

LARGEST_MINOR = 99_999_999  # Stripe takes no more in one charge


class OverrideBusy(Conflict):
    """Somebody agrees on a price for the same consumer at this moment."""

    code = "override_pending"
    retry_after_seconds = 5


def price_for(*, consumer: Consumer, price: Price) -> Price:
    """What this consumer pays with in place of `price`: the agreed one, else `price` itself."""
    agreed = PriceOverride.objects.select_related("made__plan__api", "made__project")
    found = agreed.filter(consumer=consumer, price=price, ended_at=None).first()
    return found.made if found is not None and found.made is not None else price


def set_override(
    *,
    consumer: Consumer,
    price: Price,
    amount_minor: int,
    actor: str,
    reason: str,
    at: datetime,
) -> PriceOverride:
    """Agree on an amount in place of the price's. It counts for the next checkout or change; what
    runs already goes on as it is. Raises InvalidInput, OverrideBusy, StripeRefused; with `made`
    None Stripe has not answered, and the janitor goes on.
    """
    _refuse(consumer, price, amount_minor)
    product = price.stripe_product_id or _product_of(price)
    row = _write_down(consumer, price, product, amount_minor, actor, reason, at)
    assert row.operation is not None
    run_operation(operation=row.operation, at=at)
    row.refresh_from_db()
    if row.operation.state == OperationState.FAILED:
        raise gateway.StripeRefused(f"Stripe refused the price: {row.operation.error}")
    return row


def _refuse(consumer: Consumer, price: Price, amount_minor: int) -> None:
    if price.project_id != consumer.project_id:
        raise InvalidInput("This price belongs to another project: choose one of this project.")
    if price.kind == PriceKind.METERED or price.only_for_id is not None or not price.active:
        raise InvalidInput(f"{price} is not a price on sale that is paid in advance: choose one.")
    if not 0 <= amount_minor <= LARGEST_MINOR:
        raise InvalidInput(f"amount_minor must be 0 to {LARGEST_MINOR:,}.")


def _product_of(price: Price) -> str:
    return ref(gateway.read(f"/v1/prices/{price.stripe_price_id}")["product"])


def _write_down(
    consumer: Consumer,
    price: Price,
    product: str,
    amount_minor: int,
    actor: str,
    reason: str,
    at: datetime,
) -> PriceOverride:
    try:
        with transaction.atomic():
            before = _end(consumer, price, at)
            row = PriceOverride.objects.create(
                project_id=consumer.project_id,
                consumer=consumer,
                price=price,
                amount_minor=amount_minor,
                created_by=actor,
                reason=reason,
                created_at=at,
            )
            row.operation = _wanted(row, product, actor, at)
            row.save(update_fields=["operation"])
            _record("price_override.set", row, actor, reason, at, before=before)
            return row
    except IntegrityError as twin:
        if "override_once_per_price" not in str(twin):
            raise
        raise OverrideBusy("Somebody agrees on this price just now: look again.") from twin


def _end(consumer: Consumer, price: Price, at: datetime) -> int | None:
    """End the agreement that holds; returns its amount."""
    rows = PriceOverride.objects.select_for_update(of=("self",), no_key=True)
    old = rows.filter(consumer=consumer, price=price, ended_at=None).first()
    if old is None:
        return None
    PriceOverride.objects.filter(pk=old.pk).update(ended_at=at)
    Price.objects.filter(made_for=old).update(active=False)
    return old.amount_minor


def _wanted(row: PriceOverride, product: str, actor: str, at: datetime) -> Operation:
    price = row.price
    params: dict[str, Any] = {
        "product": product,
        "unit_amount": row.amount_minor,
        "currency": price.currency,
        "nickname": f"own price {row.public_id}",
        "metadata": {
            "latchkey_override": row.public_id,
            "latchkey_consumer": row.consumer.public_id,
        },
    }
    if price.interval:
        params["recurring"] = {
            "interval": price.interval,
            "interval_count": price.interval_count,
        }
    return want(
        project=row.project,
        kind=OperationKind.CREATE_OVERRIDE,
        path="/v1/prices",
        params=params,
        subject=row.public_id,
        actor=actor,
        at=at,
    )


@transaction.atomic
def end_override(*, override: PriceOverride, actor: str, reason: str, at: datetime) -> bool:
    """The catalogue's price counts again from the next checkout or change; False if it did."""
    ended = PriceOverride.objects.filter(pk=override.pk, ended_at=None).update(ended_at=at)
    if not ended:
        return False
    Price.objects.filter(made_for=override).update(active=False)
    _record("price_override.end", override, actor, reason, at, before=override.amount_minor)
    return True


def _record(
    act: str, row: PriceOverride, actor: str, reason: str, at: datetime, *, before: int | None
) -> None:
    ends = act.endswith("end")
    audit.record(
        actor=actor,
        act=act,
        target=row,
        consumer=row.consumer,
        before={"amount_minor": before, "currency": row.price.currency},
        after={
            "amount_minor": row.price.amount_minor if ends else row.amount_minor,
            "currency": row.price.currency,
            "in_place_of": row.price.stripe_price_id,
        },
        reason=reason,
        at=at,
    )


def settle_override(operation: Operation, found: Object) -> None:
    """Its row among the prices, sold to this consumer alone; ended meanwhile, to nobody."""
    row = PriceOverride.objects.select_related("price").get(public_id=operation.subject)
    base = row.price
    made, _ = upsert(
        Price,
        stripe_price_id=found["id"],
        defaults={
            "project_id": row.project_id,
            "plan_id": base.plan_id,
            "stripe_product_id": ref(found["product"]),
            "kind": base.kind,
            "amount_minor": row.amount_minor,
            "currency": base.currency,
            "interval": base.interval,
            "interval_count": base.interval_count,
            "trial_days": base.trial_days,
            "only_for_id": row.consumer_id,
            "active": row.ended_at is None,
        },
    )
    PriceOverride.objects.filter(pk=row.pk).update(made=made)


def fail_override(operation: Operation, problem: str) -> None:
    """It never came to be: the catalogue's price counts."""
    PriceOverride.objects.filter(public_id=operation.subject).update(
        problem=problem, ended_at=operation.finished_at
    )
