"""Which call to Stripe an invoice written by hand needs next, and what became of a lost one."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from billing import gateway
from billing.custom_params import MARK, invoice_params, lines_params, part_of, parts_of, taxes_of
from billing.gateway import Object
from billing.models import (
    CustomInvoice,
    CustomState,
    Invoice,
    Operation,
    OperationKind,
    OperationState,
)
from billing.tax_rates import want_lacking_rate

# The next call: one that is wanted already, or what it is to be; None: nothing is left.
Step = Operation | dict[str, Any] | None
CONTENT = (
    "currency",
    "lines",
    "days_until_due",
    "memo",
    "footer",
    "po_number",
    "automatic_tax",
)


def _draft(held: CustomInvoice, done: Operation | None, at: datetime) -> Step:
    """First the rates that Stripe lacks, then the invoice, then its lines in parts."""
    if done is None or done.kind in (OperationKind.CREATE_TAX_RATE, OperationKind.DELETE_INVOICE):
        rate = want_lacking_rate(
            project=held.project, taxes=taxes_of(held), actor=held.created_by, at=at
        )
        return rate or _create(held)
    part = 1
    if done.kind == OperationKind.CREATE_INVOICE:
        held.stripe_invoice_id = done.stripe_object_id
    else:
        part = part_of(done.params) + 1
    if part <= parts_of(held):
        return _act(held, OperationKind.ADD_INVOICE_LINES, "/add_lines", lines_params(held, part))
    held.state = CustomState.DRAFT
    return None


def _create(held: CustomInvoice) -> dict[str, Any]:
    return {
        "kind": OperationKind.CREATE_INVOICE,
        "path": "/v1/invoices",
        "params": invoice_params(held),
        "subject": held.public_id,
    }


def _revise(held: CustomInvoice, done: Operation | None, at: datetime) -> Step:
    """The old draft goes first; then what replaces it is drafted like any other."""
    if done is None and held.stripe_invoice_id:
        return {**_act(held, OperationKind.DELETE_INVOICE, "", {}), "method": "delete"}
    _forget_draft(held)
    for name, value in (held.revision or {}).items():
        setattr(held, name, value)
    held.state, held.revision, held.stripe_invoice_id = CustomState.DRAFTING, None, ""
    return _draft(held, None, at)


def _forget_draft(held: CustomInvoice) -> None:
    """A deleted draft is nowhere any more."""
    drafts = Invoice.objects.filter(status="draft", project=held.project)
    drafts.filter(stripe_invoice_id=held.stripe_invoice_id).delete()


def _send(held: CustomInvoice, done: Operation | None, at: datetime) -> Step:
    if done is None:
        return _act(held, OperationKind.SEND_INVOICE, "/send", {})
    held.state = CustomState.SENT
    return None


def _withdraw(held: CustomInvoice, done: Operation | None, at: datetime) -> Step:
    if done is not None:
        held.state = CustomState.WITHDRAWN
        if done.kind == OperationKind.DELETE_INVOICE:
            _forget_draft(held)
        return None
    sent = Operation.objects.filter(
        kind=OperationKind.SEND_INVOICE,
        subject=held.stripe_invoice_id,
        state=OperationState.DONE,
    )
    if sent.exists():
        return _act(held, OperationKind.VOID_INVOICE, "/void", {})
    return {**_act(held, OperationKind.DELETE_INVOICE, "", {}), "method": "delete"}


def _act(
    held: CustomInvoice, kind: OperationKind, path_end: str, params: dict[str, Any]
) -> dict[str, Any]:
    return {
        "kind": kind,
        "path": f"/v1/invoices/{held.stripe_invoice_id}{path_end}",
        "params": params,
        "subject": held.stripe_invoice_id,
    }


STEPS: dict[CustomState, Callable[[CustomInvoice, Operation | None, datetime], Step]] = {
    CustomState.REVISING: _revise,
    CustomState.DRAFTING: _draft,
    CustomState.SENDING: _send,
    CustomState.WITHDRAWING: _withdraw,
}


def find_lines(operation: Operation) -> Object | None:
    """The invoice if its lines are on it already."""
    found = gateway.read(f"/v1/invoices/{operation.subject}")
    wanted = operation.params["invoice_metadata"][MARK]
    return found if (found["metadata"] or {}).get(MARK) == wanted else None


def find_sent(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/invoices/{operation.subject}")
    return found if found["status"] != "draft" else None


def find_deleted(operation: Operation) -> Object | None:
    try:
        found = gateway.read(f"/v1/invoices/{operation.subject}")
    except gateway.StripeMissing:
        return {"id": operation.subject, "deleted": True}
    return found if found.get("deleted") else None
