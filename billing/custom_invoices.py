"""Invoices written by hand: drafted at Stripe with their lines, sent on terms, or taken back.

Each step is an operation of its own and the row remembers which; whoever comes next, the request,
the sweeper or another click, goes on where the last one stopped.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing import gateway
from billing.custom_steps import CONTENT, STEPS
from billing.customers import ensure_customer
from billing.invoice_desk import follow_invoice
from billing.models import (
    CustomInvoice,
    CustomState,
    Operation,
    OperationKind,
    OperationState,
    Price,
    PriceKind,
)
from billing.models.custom_invoices import UNDER_WAY
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation, want
from config.errors import Conflict, IdempotencyConflict, InvalidInput, NotFound
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]
LATER = timedelta(seconds=30)
MOST_STEPS = 12
MOST_LINES = 500
TWIN_WINDOW = timedelta(minutes=2)  # the same content again within it is a double click
OVER = (CustomState.WITHDRAWN, CustomState.WITHDRAWING, CustomState.FAILED)


class CustomInvoiceNotFound(NotFound):
    code = "custom_invoice_not_found"


class CustomInvoiceState(Conflict):
    """It is not in a state that allows what was asked."""

    code = "custom_invoice_state"


@dataclass(frozen=True)
class InvoiceWish:
    """What the invoice says. `lines` as the model keeps them. `key` names the wish: the same one
    again is the first invoice; without it the same content within TWIN_WINDOW is.
    """

    currency: str
    lines: Sequence[dict[str, Any]]
    days_until_due: int = 30
    memo: str = ""
    footer: str = ""
    po_number: str = ""
    automatic_tax: bool = False
    key: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """Everything that the invoice says, as columns of its row."""
        return {
            "currency": self.currency,
            "lines": [dict(line) for line in self.lines],
            "days_until_due": self.days_until_due,
            "memo": self.memo,
            "footer": self.footer,
            "po_number": self.po_number,
            "automatic_tax": self.automatic_tax,
        }


def draft_invoice(
    *, consumer: Consumer, wish: InvoiceWish, actor: str, reason: str, clock: Clock
) -> CustomInvoice:
    """Write it down and tell Stripe; nothing is sent to anybody yet. A double click is one.

    Raises InvalidInput for a price that is not the project's or in another currency.
    """
    _check_wish(consumer, wish)
    if ensure_customer(consumer=consumer, actor=actor, at=clock()) is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")
    return advance(row=_write(consumer, wish, actor, reason, clock()), clock=clock)


@transaction.atomic
def _write(
    consumer: Consumer, wish: InvoiceWish, actor: str, reason: str, at: datetime
) -> CustomInvoice:
    """The row of the wish: a new one, or the one that the first click made."""
    # One after another for each consumer, so that the second click sees the first one's row.
    list(Consumer.objects.select_for_update(of=("self",), no_key=True).filter(pk=consumer.pk))
    known = _twin(consumer, wish, at)
    if known is not None:
        return known
    row = CustomInvoice.objects.create(
        project=consumer.project,
        consumer=consumer,
        created_by=actor,
        wish=wish.key,
        content_hash=_hash(wish),
        next_look_at=at + LATER,
        created_at=at,
        **wish.content,
    )
    _record(row, "draft", actor, reason)
    return row


def _twin(consumer: Consumer, wish: InvoiceWish, at: datetime) -> CustomInvoice | None:
    rows = CustomInvoice.objects.filter(project=consumer.project)
    if not wish.key:
        recent = rows.filter(consumer=consumer, wish="", created_at__gt=at - TWIN_WINDOW)
        live = recent.exclude(state__in=OVER).filter(content_hash=_hash(wish))
        return live.order_by("-pk").first()
    known = rows.filter(wish=wish.key).first()
    if known is not None and (known.consumer_id, known.content_hash) != (consumer.pk, _hash(wish)):
        raise IdempotencyConflict(f"This form made {known} before. Open the page anew.")
    return known


def _hash(wish: InvoiceWish) -> str:
    return hashlib.sha256(json.dumps(wish.content, sort_keys=True).encode()).hexdigest()


def _check_wish(consumer: Consumer, wish: InvoiceWish) -> None:
    if not 1 <= len(wish.lines) <= MOST_LINES:
        raise InvalidInput(f"An invoice has 1 to {MOST_LINES} lines.")
    for line in wish.lines:
        _check_price(consumer, wish.currency, line)
        if wish.automatic_tax and line.get("taxes"):
            raise InvalidInput("Name taxes, or let Stripe find them by automatic_tax; not both.")


def revise(
    *, row: CustomInvoice, wish: InvoiceWish, actor: str, reason: str, clock: Clock
) -> CustomInvoice:
    """Let another draft take its place, under the same id of ours; Stripe's changes."""
    _check_wish(row.consumer, wish)
    row.refresh_from_db()
    if row.content_hash == _hash(wish) and row.state not in (*OVER, CustomState.SENT):
        return advance(row=row, clock=clock)  # saved twice is saved once
    _begin(
        row,
        CustomState.REVISING,
        (CustomState.DRAFT, CustomState.FAILED),
        actor,
        reason,
        clock(),
        revision=wish.content,
        content_hash=_hash(wish),
    )
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
    **more: Any,
) -> None:
    begun = CustomInvoice.objects.filter(pk=row.pk, state__in=allowed).update(
        state=state, operation=None, problem="", next_look_at=at + LATER, **more
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
    rows = CustomInvoice.objects.select_for_update(of=("self",), no_key=True)
    # Its operation is read after the lock: joined, it would be what it was before the wait.
    held = rows.select_related("project", "consumer__stripe_customer").get(pk=row.pk)
    if held.state not in UNDER_WAY:
        return None
    done = held.operation
    if done is not None and done.state in OPEN_STATES:
        return done
    if done is not None and done.state == OperationState.FAILED:
        _fail(held, done.error)
        return None
    wanted = STEPS[CustomState(held.state)](held, done, at)
    if wanted is None:
        held.operation = None
    elif isinstance(wanted, Operation):
        held.operation = wanted
    else:
        held.operation = want(project=held.project, actor=held.created_by, at=at, **wanted)
    held.save(update_fields=["state", "operation", "stripe_invoice_id", "revision", *CONTENT])
    return held.operation


def _fail(held: CustomInvoice, problem: str) -> None:
    """A refused draft ends it, and may be revised; a refused act leaves it as it was."""
    before = CustomState.DRAFT
    if held.operation is not None and held.operation.kind == OperationKind.VOID_INVOICE:
        before = CustomState.SENT
    held.state = CustomState.FAILED if held.state == CustomState.DRAFTING else before
    held.problem, held.operation, held.revision = problem, None, None
    held.save(update_fields=["state", "problem", "operation", "revision"])
