"""Invoices written by hand: drafted at Stripe with their lines, sent on terms, or taken back.

Each step is an operation of its own and the row remembers which; whoever comes next, the request,
the sweeper or another click, goes on where the last one stopped.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing import gateway
from billing.customers import ensure_customer
from billing.gateway import Object
from billing.invoice_desk import follow_invoice
from billing.models import (
    CustomInvoice,
    CustomState,
    Invoice,
    Operation,
    OperationKind,
    OperationState,
    Price,
    PriceKind,
)
from billing.models.custom_invoices import UNDER_WAY
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation, want
from config.errors import Conflict, InvalidInput, NotFound
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]
LATER = timedelta(seconds=30)
MOST_STEPS = 4
MARK = "latchkey_custom_invoice"


class CustomInvoiceNotFound(NotFound):
    code = "custom_invoice_not_found"


class CustomInvoiceState(Conflict):
    """It is not in a state that allows what was asked."""

    code = "custom_invoice_state"


def draft_invoice(
    *,
    consumer: Consumer,
    currency: str,
    lines: Sequence[dict[str, Any]],
    days_until_due: int,
    memo: str,
    po_number: str,
    actor: str,
    reason: str,
    clock: Clock,
) -> CustomInvoice:
    """Write it down and tell Stripe; nothing is sent to anybody yet.

    Raises InvalidInput for a price that is not the project's or in another currency.
    """
    for line in lines:
        _check_price(consumer, currency, line)
    if ensure_customer(consumer=consumer, actor=actor, at=clock()) is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")
    with transaction.atomic():
        row = CustomInvoice.objects.create(
            project=consumer.project,
            consumer=consumer,
            currency=currency,
            lines=list(lines),
            days_until_due=days_until_due,
            memo=memo,
            po_number=po_number,
            created_by=actor,
            next_look_at=clock() + LATER,
        )
        _record(row, "draft", actor, reason)
    return advance(row=row, clock=clock)


def _check_price(consumer: Consumer, currency: str, line: dict[str, Any]) -> None:
    if "price_id" not in line:
        return
    price = Price.objects.filter(
        project=consumer.project_id, stripe_price_id=line["price_id"], active=True
    ).first()
    is_own = price is not None and price.only_for_id in (None, consumer.pk)
    if price is None or not is_own or price.kind != PriceKind.ONE_OFF:
        raise InvalidInput(f"{line['price_id']} is no price on sale here that is paid once.")
    if price.currency != currency:
        raise InvalidInput(f"{line['price_id']} is in {price.currency}, the invoice {currency}.")


def send(*, row: CustomInvoice, actor: str, reason: str, clock: Clock) -> CustomInvoice:
    """Finalize it and let Stripe mail it. Twice sends it once."""
    if row.state in (CustomState.SENDING, CustomState.SENT):
        return advance(row=row, clock=clock)
    _begin(row, CustomState.SENDING, (CustomState.DRAFT,), actor, reason, clock())
    return advance(row=row, clock=clock)


def withdraw(*, row: CustomInvoice, actor: str, reason: str, clock: Clock) -> CustomInvoice:
    """Delete the draft, or void what was sent; refused once it is paid."""
    if row.state in (CustomState.WITHDRAWING, CustomState.WITHDRAWN):
        return advance(row=row, clock=clock)
    allowed = (CustomState.DRAFT, CustomState.SENT)
    _begin(row, CustomState.WITHDRAWING, allowed, actor, reason, clock())
    return advance(row=row, clock=clock)


@transaction.atomic
def _begin(
    row: CustomInvoice,
    state: CustomState,
    allowed: Sequence[CustomState],
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    begun = CustomInvoice.objects.filter(pk=row.pk, state__in=allowed).update(
        state=state, operation=None, problem="", next_look_at=at + LATER
    )
    if not begun:
        row.refresh_from_db(fields=["state"])
        raise CustomInvoiceState(f"The invoice is {row.state}: nothing was changed.")
    _record(row, state, actor, reason)


def _record(row: CustomInvoice, act: str, actor: str, reason: str) -> None:
    audit.record(
        actor=actor,
        act=f"custom_invoice.{act}",
        target=row,
        consumer=row.consumer,
        after={"lines": len(row.lines), "currency": row.currency},
        reason=reason,
    )


def advance(*, row: CustomInvoice, clock: Clock) -> CustomInvoice:
    """Take the steps that are left, as far as Stripe answers; safe at any time, by many."""
    gateway.refuse_inside_transaction()
    for _ in range(MOST_STEPS):
        operation = _next_step(row, clock())
        if operation is None:
            break
        run_operation(operation=operation, at=clock())
        if operation.state in OPEN_STATES:
            break
    row.refresh_from_db()
    if row.stripe_invoice_id and row.state not in UNDER_WAY:
        follow_invoice(consumer=row.consumer, stripe_invoice_id=row.stripe_invoice_id, clock=clock)
    return row


def work_custom_invoices(*, clock: Clock, limit: int = 20) -> int:
    """The sweeper: go on with those whose next step is due. Returns how many."""
    due = CustomInvoice.objects.filter(state__in=UNDER_WAY, next_look_at__lte=clock())
    rows = list(due.select_related("project", "consumer").order_by("next_look_at")[:limit])
    for row in rows:
        CustomInvoice.objects.filter(pk=row.pk).update(next_look_at=clock() + LATER)
        advance(row=row, clock=clock)
    return len(rows)


@transaction.atomic
def _next_step(row: CustomInvoice, at: datetime) -> Operation | None:
    """The operation to run now; None when there is nothing left to do."""
    rows = CustomInvoice.objects.select_for_update(of=("self",))
    held = rows.select_related("project", "consumer__stripe_customer", "operation").get(pk=row.pk)
    if held.state not in UNDER_WAY:
        return None
    done = held.operation
    if done is not None and done.state in OPEN_STATES:
        return done
    if done is not None and done.state == OperationState.FAILED:
        _fail(held, done.error)
        return None
    wanted = _STEPS[CustomState(held.state)](held, done)
    if wanted is None:
        held.operation = None
    else:
        held.operation = want(project=held.project, actor=held.created_by, at=at, **wanted)
    held.save(update_fields=["state", "operation", "stripe_invoice_id"])
    return held.operation


def _fail(held: CustomInvoice, problem: str) -> None:
    """A refused draft ends it; a refused act leaves it as it was."""
    before = CustomState.DRAFT
    if held.operation is not None and held.operation.kind == OperationKind.VOID_INVOICE:
        before = CustomState.SENT
    held.state = CustomState.FAILED if held.state == CustomState.DRAFTING else before
    held.problem, held.operation = problem, None
    held.save(update_fields=["state", "problem", "operation"])


def _draft(held: CustomInvoice, done: Operation | None) -> dict[str, Any] | None:
    if done is None:
        return {
            "kind": OperationKind.CREATE_INVOICE,
            "path": "/v1/invoices",
            "params": _draft_params(held),
            "subject": held.public_id,
        }
    if done.kind == OperationKind.CREATE_INVOICE:
        held.stripe_invoice_id = done.stripe_object_id
        return _act(held, OperationKind.ADD_INVOICE_LINES, "/add_lines", _lines_params(held))
    held.state = CustomState.DRAFT
    return None


def _draft_params(held: CustomInvoice) -> dict[str, Any]:
    params: dict[str, Any] = {
        "customer": held.consumer.stripe_customer.stripe_customer_id,
        "currency": held.currency,
        "collection_method": "send_invoice",
        "days_until_due": held.days_until_due,
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
    }
    if held.memo:
        params["description"] = held.memo
    if held.po_number:
        params["custom_fields"] = [{"name": "PO number", "value": held.po_number}]
    return params


def _lines_params(held: CustomInvoice) -> dict[str, Any]:
    """All lines in one call: they are on the invoice together or not at all."""
    lines = [_line_params(line, held.currency) for line in held.lines]
    return {"lines": lines, "invoice_metadata": {MARK: held.public_id}}


def _line_params(line: dict[str, Any], currency: str) -> dict[str, Any]:
    if "price_id" in line:
        return {"pricing": {"price": line["price_id"]}, "quantity": line["quantity"]}
    priced = {
        "currency": currency,
        "unit_amount": line["unit_amount_minor"],
        "product_data": {"name": line["description"]},
    }
    return {
        "description": line["description"],
        "quantity": line["quantity"],
        "price_data": priced,
    }


def _send(held: CustomInvoice, done: Operation | None) -> dict[str, Any] | None:
    if done is None:
        return _act(held, OperationKind.SEND_INVOICE, "/send", {})
    held.state = CustomState.SENT
    return None


def _withdraw(held: CustomInvoice, done: Operation | None) -> dict[str, Any] | None:
    if done is not None:
        held.state = CustomState.WITHDRAWN
        # A deleted draft is nowhere any more.
        drafts = Invoice.objects.filter(status="draft", project=held.project)
        if done.kind == OperationKind.DELETE_INVOICE:
            drafts.filter(stripe_invoice_id=held.stripe_invoice_id).delete()
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


_STEPS = {
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
