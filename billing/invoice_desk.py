"""What is done to an invoice that is open: pay it now, void it, give it up.

Each act writes its wish and its audit entry in one transaction, sends it, and syncs the customer.
A payment that surely was not sent is not sent later, when nobody waits for it any more.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import gateway
from billing.gateway import Object
from billing.models import Invoice, Operation, OperationKind, OperationState, StripeCustomer
from billing.operations import run_operation, want
from billing.shapes import invoice_intents
from billing.snapshot import Touched
from billing.sync import NotOurs, sync_customer
from config.errors import Conflict, DomainError, Unavailable
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]
LATER = "Stripe has not answered yet; it is looked after and happens once."
PAYABLE = ("open", "uncollectible")
VOIDABLE = ("open", "uncollectible")
GIVEN_UP = ("open",)


class InvoiceNotOpen(Conflict):
    """Its status does not allow what was asked; nothing was changed."""

    code = "invoice_not_open"


class PaymentDeclined(DomainError):
    """The bank refused; the invoice stays open."""

    code = "payment_declined"
    status = 402


class ConfirmationNeeded(DomainError):
    """The bank asks the payer to confirm; Stripe's page of the invoice leads there."""

    code = "payment_needs_confirmation"
    status = 402


@dataclass(frozen=True)
class Settled:
    """`done` is False while Stripe's answer is missing."""

    done: bool
    said: str


def pay_now(*, invoice: Invoice, card: str, actor: str, reason: str, clock: Clock) -> Settled:
    """Charge a saved payment method, or with "" the customer's default one.

    Raises PaymentDeclined, ConfirmationNeeded, InvoiceNotOpen; then nothing was paid.
    """
    _require(invoice, PAYABLE)
    params: dict[str, Any] = {"off_session": False}
    if card:
        params["payment_method"] = card
    operation = _wish(invoice, OperationKind.PAY_INVOICE, "pay", params, actor, reason, clock())
    run_operation(operation=operation, at=clock())
    _withdraw_if_unsent(operation, clock())
    _follow(invoice, clock)
    if operation.state == OperationState.FAILED:
        raise _why_unpaid(invoice, operation)
    return _settled(operation, "The invoice is paid.")


def void(*, invoice: Invoice, actor: str, reason: str, clock: Clock) -> Settled:
    """Take it back as if it had never been asked for; its number stays used."""
    _require(invoice, VOIDABLE)
    operation = _wish(invoice, OperationKind.VOID_INVOICE, "void", {}, actor, reason, clock())
    return _carry_out(invoice, operation, "The invoice is void: nobody owes it any more.", clock)


def give_up(*, invoice: Invoice, actor: str, reason: str, clock: Clock) -> Settled:
    """Mark it uncollectible: a bad debt that may still be paid."""
    _require(invoice, GIVEN_UP)
    kind = OperationKind.GIVE_UP_INVOICE
    operation = _wish(invoice, kind, "mark_uncollectible", {}, actor, reason, clock())
    return _carry_out(invoice, operation, "The invoice is marked uncollectible.", clock)


def settle_elsewhere(
    *, invoice: Invoice, how: str, actor: str, reason: str, clock: Clock
) -> Settled:
    """Mark it as paid outside of Stripe; `how` is kept with the reason. Nothing is charged."""
    _require(invoice, PAYABLE)
    params = {"paid_out_of_band": True}
    said = f"Paid outside of Stripe: {how}. {reason}"
    kind = OperationKind.PAY_INVOICE
    operation = _wish(invoice, kind, "pay", params, actor, said, clock())
    return _carry_out(invoice, operation, "The invoice is marked as paid.", clock)


def _require(invoice: Invoice, allowed: tuple[str, ...]) -> None:
    """Asks Stripe, for what we have may be a moment old."""
    status = gateway.read(f"/v1/invoices/{invoice.stripe_invoice_id}")["status"]
    if status not in allowed:
        raise InvoiceNotOpen(f"The invoice is {status}: nothing was changed.")


@transaction.atomic
def _wish(
    invoice: Invoice,
    kind: OperationKind,
    path_end: str,
    params: dict[str, Any],
    actor: str,
    reason: str,
    at: datetime,
) -> Operation:
    operation = want(
        project=invoice.project,
        kind=kind,
        path=f"/v1/invoices/{invoice.stripe_invoice_id}/{path_end}",
        params=params,
        subject=invoice.stripe_invoice_id,
        actor=actor,
        at=at,
    )
    audit.record(
        actor=actor,
        act=f"invoice.{path_end}",
        target=invoice,
        consumer=invoice.consumer,
        after={"operation": operation.public_id},
        reason=reason,
        at=at,
    )
    return operation


def _carry_out(invoice: Invoice, operation: Operation, said: str, clock: Clock) -> Settled:
    run_operation(operation=operation, at=clock())
    _follow(invoice, clock)
    if operation.state == OperationState.FAILED:
        raise InvoiceNotOpen(f"Stripe refused: {operation.error} Nothing was changed.")
    return _settled(operation, said)


def _settled(operation: Operation, said: str) -> Settled:
    done = operation.state == OperationState.DONE
    return Settled(done, said if done else LATER)


def _withdraw_if_unsent(operation: Operation, at: datetime) -> None:
    """The payer sees the refusal and may pay otherwise: no charge may come after that."""
    unsent = Operation.objects.filter(
        pk=operation.pk, state=OperationState.WANTED, lease_until=None
    )
    if unsent.update(state=OperationState.FAILED, finished_at=at):
        raise gateway.StripeUnavailable(f"{operation.error} Nothing was charged: try again.")


def _follow(invoice: Invoice, clock: Clock) -> None:
    follow_invoice(
        consumer=invoice.consumer, stripe_invoice_id=invoice.stripe_invoice_id, clock=clock
    )
    invoice.refresh_from_db()


def follow_invoice(*, consumer: Consumer, stripe_invoice_id: str, clock: Clock) -> None:
    follow_customer(consumer=consumer, touched=[("invoice", stripe_invoice_id)], clock=clock)


def follow_customer(*, consumer: Consumer, touched: Sequence[Touched], clock: Clock) -> None:
    """Access is right when the answer leaves; while Stripe is away the event brings it."""
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    if holder is None:
        return
    with contextlib.suppress(NotOurs, Unavailable):
        sync_customer(
            stripe_customer_id=holder.stripe_customer_id,
            clock=clock,
            touched=touched,
        )


def _why_unpaid(invoice: Invoice, operation: Operation) -> DomainError:
    found = gateway.read(f"/v1/invoices/{invoice.stripe_invoice_id}", expand=["payments"])
    if found["status"] not in PAYABLE:
        return InvoiceNotOpen(f"The invoice is {found['status']} meanwhile.")
    page = found.get("hosted_invoice_url")
    intents = [one for one in invoice_intents(found) if one]
    intent = gateway.read(f"/v1/payment_intents/{intents[-1]}") if intents else {}
    if intent.get("status") == "requires_action":
        said = "The bank asks the payer to confirm: let them do so at hosted_url."
        return ConfirmationNeeded(said, hosted_url=page)
    said = f"It was not paid: {operation.error} Pay at hosted_url, or name another payment_method."
    return PaymentDeclined(said, hosted_url=page)


def find_paid(operation: Operation) -> Object | None:
    return _in_status(operation, "paid")


def find_given_up(operation: Operation) -> Object | None:
    return _in_status(operation, "uncollectible")


def _in_status(operation: Operation, status: str) -> Object | None:
    found = gateway.read(f"/v1/invoices/{operation.subject}")
    return found if found["status"] == status else None
