"""Where a customer is billed and their tax ids: kept at Stripe, changed through operations.

Stripe Tax counts by the address. Nothing of it but the country is kept here.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import gateway
from billing.customers import ensure_customer
from billing.gateway import Object
from billing.models import Operation, OperationKind, OperationState, StripeCustomer
from billing.operations import run_operation, want
from billing.refusals import refused_by
from billing.sync import NotOurs, sync_customer
from config.errors import NotFound, Unavailable
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]


class TaxIdNotFound(NotFound):
    code = "tax_id_not_found"


@dataclass(frozen=True)
class Address:
    """`country` as DE; `state` and `postal_code` where the country's tax needs them."""

    country: str
    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


@dataclass(frozen=True)
class TaxIdShown:
    """`verification`: pending, verified, unverified or unavailable."""

    id: str
    type: str
    value: str
    country: str | None
    verification: str | None


@dataclass(frozen=True)
class Details:
    """`tax_location`: supported when Stripe Tax knows where they are; "" without a customer."""

    name: str = ""
    email: str = ""
    address: Address | None = None
    tax_location: str = ""
    tax_ids: tuple[TaxIdShown, ...] = ()


def details_of(holder: StripeCustomer | None) -> Details:
    """As Stripe has them now. Raises StripeUnavailable."""
    if holder is None:
        return Details()
    path = f"/v1/customers/{holder.stripe_customer_id}"
    found = gateway.read(path, expand=["tax", "tax_ids"])
    address = found.get("address")
    names = Address.__dataclass_fields__
    return Details(
        name=found.get("name") or "",
        email=found.get("email") or "",
        address=Address(**{one: address.get(one) or "" for one in names}) if address else None,
        tax_location=(found.get("tax") or {}).get("automatic_tax", ""),
        tax_ids=tuple(_shown(one) for one in (found.get("tax_ids") or {}).get("data", [])),
    )


def _shown(found: Object) -> TaxIdShown:
    status = (found.get("verification") or {}).get("status")
    return TaxIdShown(found["id"], found["type"], found["value"], found["country"], status)


def set_address(
    *, consumer: Consumer, address: Address, name: str, actor: str, reason: str, clock: Clock
) -> Details:
    """Bill there from now on; live subscriptions are taxed by it from their next invoice.

    Raises TaxLocationNeeded for a place that says too little, StripeRefused, StripeUnavailable.
    """
    holder = _holder(consumer, actor, clock)
    params: dict[str, Any] = {
        "address": asdict(address),
        # Refused at once, so that no renewal fails by it later.
        "tax": {"validate_location": "immediately"},
    }
    if name:
        params["name"] = name
    wish = {
        "kind": OperationKind.UPDATE_CUSTOMER,
        "path": f"/v1/customers/{holder.stripe_customer_id}",
        "params": params,
        "subject": holder.stripe_customer_id,
    }
    told = {"country": address.country}
    _carry_out(holder, wish, "billing_details.change", told, actor, reason, clock)
    return details_of(holder)


def add_tax_id(
    *, consumer: Consumer, kind: str, value: str, actor: str, reason: str, clock: Clock
) -> Details:
    """Put a tax id on the invoices to come. One that is there already is not added twice.

    Raises TaxIdRefused for a number of the wrong form, StripeUnavailable.
    """
    holder = _holder(consumer, actor, clock)
    found = details_of(holder)
    if any((one.type, one.value) == (kind, value) for one in found.tax_ids):
        return found
    wish = {
        "kind": OperationKind.ADD_TAX_ID,
        "path": f"/v1/customers/{holder.stripe_customer_id}/tax_ids",
        "params": {"type": kind, "value": value},
        "subject": holder.stripe_customer_id,
    }
    _carry_out(holder, wish, "tax_id.add", {"type": kind}, actor, reason, clock)
    return details_of(holder)


def remove_tax_id(
    *, holder: StripeCustomer | None, tax_id: str, actor: str, reason: str, clock: Clock
) -> Details:
    """Raises TaxIdNotFound for anybody else's."""
    known = next((one for one in details_of(holder).tax_ids if one.id == tax_id), None)
    if holder is None or known is None:
        raise TaxIdNotFound("There is no such tax id: look at the billing details.")
    wish = {
        "kind": OperationKind.REMOVE_TAX_ID,
        "method": "delete",
        "path": f"/v1/customers/{holder.stripe_customer_id}/tax_ids/{tax_id}",
        "params": {},
        "subject": tax_id,
    }
    _carry_out(holder, wish, "tax_id.remove", {"type": known.type}, actor, reason, clock)
    return details_of(holder)


def _holder(consumer: Consumer, actor: str, clock: Clock) -> StripeCustomer:
    holder = ensure_customer(consumer=consumer, actor=actor, at=clock())
    if holder is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")
    return holder


def _carry_out(
    holder: StripeCustomer,
    wish: dict[str, Any],
    act: str,
    told: dict[str, Any],
    actor: str,
    reason: str,
    clock: Clock,
) -> None:
    consumer = holder.consumer
    with transaction.atomic():
        operation = want(project=consumer.project, actor=actor, at=clock(), **wish)
        after = {**told, "operation": operation.public_id}
        audit.record(
            actor=actor, act=act, target=holder, consumer=consumer, after=after, reason=reason
        )
    run_operation(operation=operation, at=clock())
    if operation.state == OperationState.FAILED:
        raise refused_by(operation, what="Stripe refused, and nothing was changed: ")
    if operation.state != OperationState.DONE:
        raise gateway.StripeUnavailable(
            "Stripe has not answered yet; what was asked is looked after. Look again in a moment."
        )
    with suppress(Unavailable, NotOurs):  # the event that it brings does the same
        sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)


def find_updated(operation: Operation) -> Object | None:
    """The customer if it carries the operation's mark, which is written with the change."""
    found = gateway.read(f"/v1/customers/{operation.subject}")
    mark = (found.get("metadata") or {}).get("operation_id")
    return found if mark == operation.public_id else None


def find_tax_id(operation: Operation) -> Object | None:
    wanted = (operation.params["type"], operation.params["value"])
    for found in gateway.read_all(operation.path):
        if (found["type"], found["value"]) == wanted:
            return found
    return None


def find_removed(operation: Operation) -> Object | None:
    try:
        found = gateway.read(operation.path)
    except gateway.StripeMissing:
        return {"id": operation.subject, "deleted": True}
    return found if found.get("deleted") else None
