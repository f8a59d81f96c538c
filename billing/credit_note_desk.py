"""Crediting an invoice: asked for, held against its total, settled, told to Stripe.

A note is a row from the first click on and holds its amount. Where money goes back, the refund
desk gives it (its limits, budgets and second person), and the note is then issued with that
refund; a note never makes a refund of its own, so none can be made twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from billing import gateway, refund_blocks
from billing.credit_notes import tax_of
from billing.credit_sums import credited_of
from billing.credits import creditable_minor, hold_credit, lock_for_credit
from billing.gateway import Object
from billing.models import (
    CreditNote,
    Invoice,
    NoteStatus,
    OperationKind,
    Payment,
    RefundRequest,
    SettledBy,
)
from billing.money import shown
from billing.operations import want
from billing.refund_desk import RefundWish, actor_of, request_refund, request_refund_for_app
from config.errors import Conflict, IdempotencyConflict, InvalidInput, NotFound
from keystore import audit

Clock = Callable[[], datetime]
REASONS = ("duplicate", "fraudulent", "order_change", "product_unsatisfactory")  # Stripe's words
LATER = timedelta(seconds=15)
WAYS = {
    SettledBy.REFUND: "refund_amount",
    SettledBy.BALANCE: "credit_amount",
    SettledBy.OUTSIDE: "out_of_band_amount",
}


class CreditNoteNotFound(NotFound):
    code = "credit_note_not_found"


class CreditTooLarge(Conflict):
    """More than the invoice still has to credit."""

    code = "credit_exceeds_invoice"


class NotCreditable(Conflict):
    """The invoice's status does not go with how the credit is to be settled."""

    code = "invoice_not_creditable"


@dataclass(frozen=True)
class NoteWish:
    """What is credited: `amount_minor`, tax included, or `lines`, each {"line_id", "quantity" or
    "amount_minor"} or {"description", "quantity", "unit_amount_minor"}. `key` names the click.
    """

    settle: str
    reason: str
    amount_minor: int = 0
    lines: Sequence[dict[str, Any]] = ()
    stripe_reason: str = ""
    memo: str = ""
    key: str = ""


@dataclass(frozen=True)
class NotePreview:
    """`left_minor`: what may be credited afterwards."""

    amount_minor: int
    tax_minor: int
    due_minor: int
    left_minor: int
    currency: str
    asked: dict[str, Any] = field(repr=False)


def preview_credit_note(*, invoice: Invoice, wish: NoteWish) -> NotePreview:
    """What the note would come to, as Stripe reckons it; nothing is changed.

    Raises InvalidInput, NotCreditable, CreditTooLarge, StripeRefused, StripeUnavailable.
    """
    gateway.refuse_inside_transaction()
    _refuse_odd(wish)
    found = gateway.read(f"/v1/invoices/{invoice.stripe_invoice_id}")
    _require_fitting(found, wish.settle)
    amount, asked = _sums(invoice, wish)
    invoice.refresh_from_db(fields=["credited_minor", "total_minor"])
    left = creditable_minor(invoice)
    if wish.settle == SettledBy.DUE:
        left = min(left, found["amount_remaining"])
    if amount > left:
        raise _too_large(left, invoice.currency)
    params = {"invoice": invoice.stripe_invoice_id, **asked, **_way(wish.settle, amount)}
    seen = gateway.read("/v1/credit_notes/preview", **params)
    return NotePreview(
        amount_minor=seen["total"],
        tax_minor=tax_of(seen),
        due_minor=seen["pre_payment_amount"],
        left_minor=left - amount,
        currency=invoice.currency,
        asked=asked,
    )


def _refuse_odd(wish: NoteWish) -> None:
    if wish.settle not in SettledBy.values:
        raise InvalidInput(f"settle is one of {', '.join(SettledBy.values)}.")
    if bool(wish.amount_minor) == bool(wish.lines) or wish.amount_minor < 0:
        raise InvalidInput("Credit an amount above nothing, or lines.")
    if wish.stripe_reason and wish.stripe_reason not in REASONS:
        raise InvalidInput(f"Stripe knows these reasons: {', '.join(REASONS)}, or none.")


def _require_fitting(found: Object, settle: str) -> None:
    status = found["status"]
    if status == "open" and settle != SettledBy.DUE:
        raise NotCreditable("The invoice is open: settle by due, which lowers what it asks for.")
    if status == "paid" and settle == SettledBy.DUE:
        raise NotCreditable("The invoice is paid: settle by refund, balance or outside.")
    if status not in ("open", "paid"):
        raise NotCreditable(f"The invoice is {status}: only open and paid ones are credited.")


def _sums(invoice: Invoice, wish: NoteWish) -> tuple[int, dict[str, Any]]:
    """The amount, and the parameters by which Stripe reckons the same."""
    if not wish.lines:
        return wish.amount_minor, {"amount": wish.amount_minor}
    known = _lines_of(invoice, {one["line_id"] for one in wish.lines if "line_id" in one})
    amount = credited_of(wish.lines, known).amount_minor
    return amount, {"lines": [_line_params(one) for one in wish.lines]}


def _lines_of(invoice: Invoice, wanted: set[str]) -> dict[str, Object]:
    """Page by page until all are found: an invoice may have hundreds."""
    found: dict[str, Object] = {}
    if not wanted:
        return found
    for page in gateway.read_pages(f"/v1/invoices/{invoice.stripe_invoice_id}/lines"):
        found |= {line["id"]: line for line in page if line["id"] in wanted}
        if len(found) == len(wanted):
            break
    return found


def _line_params(one: dict[str, Any]) -> dict[str, Any]:
    if "line_id" not in one:
        return {
            "type": "custom_line_item",
            "description": one["description"],
            "quantity": one["quantity"],
            "unit_amount": one["unit_amount_minor"],
        }
    part = {"quantity": one["quantity"]} if one.get("quantity") else {"amount": one["amount_minor"]}
    return {"type": "invoice_line_item", "invoice_line_item": one["line_id"], **part}


def _way(settle: str, amount: int) -> dict[str, int]:
    name = WAYS.get(SettledBy(settle))
    return {name: amount} if name else {}


def _too_large(left: int, currency: str) -> CreditTooLarge:
    return CreditTooLarge(f"Only {shown(left, currency)} of this invoice is left to credit.")


def want_credit_note(
    *, invoice: Invoice, wish: NoteWish, actor: str, person: User | None, clock: Clock
) -> CreditNote:
    """Write a note down and hold its amount; `billing.credit_note_steps` takes it from there.

    `person`: who asks in the admin, whose refunds and budget count; None: the app `actor`. The
    same `wish.key` again is the first note. Raises what the preview and the refund desk raise.
    """
    known = _same(invoice, wish)
    if known is not None:
        return known
    seen = preview_credit_note(invoice=invoice, wish=wish)
    return _write(invoice, wish, seen, actor, person, clock())


def _same(invoice: Invoice, wish: NoteWish) -> CreditNote | None:
    if not wish.key:
        return None
    known = CreditNote.objects.filter(project=invoice.project_id, wish=wish.key).first()
    if known is not None and (known.invoice_id, known.settle) != (invoice.pk, wish.settle):
        raise IdempotencyConflict(f"This form made {known} before. Open the page anew.")
    return known


@transaction.atomic
def _write(
    invoice: Invoice,
    wish: NoteWish,
    seen: NotePreview,
    actor: str,
    person: User | None,
    at: datetime,
) -> CreditNote:
    locked = lock_for_credit(invoice)
    known = _same(locked, wish)
    if known is not None:
        return known
    _refuse_disputed(locked, wish)
    left = creditable_minor(locked)
    if seen.amount_minor > left or not hold_credit(invoice=locked, amount_minor=seen.amount_minor):
        raise _too_large(left, locked.currency)
    note = _create(locked, wish, seen, actor, at)
    if wish.settle == SettledBy.REFUND:
        note.refund_request = _ask_for_refund(note, person, at)
        note.save(update_fields=["refund_request"])
    else:
        tell_stripe(note, at)
    _record(note, "issue", actor, wish.reason)
    return note


def _refuse_disputed(invoice: Invoice, wish: NoteWish) -> None:
    """The bank took the money back: any other way back would pay twice."""
    if wish.settle == SettledBy.DUE:
        return
    for payment in payments_of(invoice):
        found = refund_blocks.disputes_of(payment)
        if found:
            raise refund_blocks.RefundBlocked(" ".join(found))


def payments_of(invoice: Invoice) -> list[Payment]:
    """Those that succeeded, the largest first."""
    rows = Payment.objects.filter(
        stripe_invoice_id=invoice.stripe_invoice_id, project=invoice.project_id
    )
    found = rows.filter(status="succeeded").select_related("project", "consumer")
    return list(found.order_by("-captured_minor", "pk"))


def _create(
    invoice: Invoice, wish: NoteWish, seen: NotePreview, actor: str, at: datetime
) -> CreditNote:
    refunds = wish.settle == SettledBy.REFUND
    part = {f"{wish.settle}_minor": seen.amount_minor} if not refunds else {}
    return CreditNote.objects.create(
        project=invoice.project,
        consumer=invoice.consumer,
        invoice=invoice,
        status=NoteStatus.REFUNDING if refunds else NoteStatus.WANTED,
        reason=wish.stripe_reason,
        amount_minor=seen.amount_minor,
        tax_minor=seen.tax_minor,
        currency=invoice.currency,
        settle=wish.settle,
        asked=seen.asked,
        why=wish.reason,
        memo=wish.memo,
        wish=wish.key,
        created_by=actor,
        next_look_at=at + LATER,
        created_at=at,
        **part,
    )


def _ask_for_refund(note: CreditNote, person: User | None, at: datetime) -> RefundRequest:
    """Of the payment that has enough left; the desk decides whether it may."""
    fitting = [
        payment
        for payment in payments_of(note.invoice)
        if refund_blocks.left_minor(payment) >= note.amount_minor
    ]
    if not fitting:
        raise NotCreditable(
            "No payment of this invoice has that much left to give back: settle by balance or "
            "outside."
        )
    wish = RefundWish(
        key=f"credit-note:{note.public_id}",
        amount_minor=note.amount_minor,
        reason=note.why or f"Credit note on invoice {note.invoice}",
    )
    if person is None:
        return request_refund_for_app(payment=fitting[0], wish=wish, app=note.created_by, at=at)
    assert actor_of(person) == note.created_by
    return request_refund(payment=fitting[0], wish=wish, person=person, at=at)


def tell_stripe(note: CreditNote, at: datetime) -> None:
    """Want the call that issues the note; inside the transaction that makes it due."""
    params: dict[str, Any] = {"invoice": note.invoice.stripe_invoice_id, **note.asked}
    request = note.refund_request
    if request is not None:
        assert request.refund is not None
        link = {
            "type": "refund",
            "refund": request.refund.stripe_refund_id,
            "amount_refunded": note.amount_minor,
        }
        params["refunds"] = [link]
    else:
        params |= _way(note.settle, note.amount_minor)
    params |= {"reason": note.reason} if note.reason else {}
    params |= {"memo": note.memo} if note.memo else {}
    note.operation = want(
        project=note.project,
        kind=OperationKind.CREATE_CREDIT_NOTE,
        path="/v1/credit_notes",
        params=params,
        subject=note.public_id,
        actor=note.created_by,
        at=at,
    )
    note.status = NoteStatus.WANTED
    note.save(update_fields=["operation", "status"])


def _record(note: CreditNote, act: str, actor: str, reason: str) -> None:
    audit.record(
        actor=actor,
        act=f"credit_note.{act}",
        target=note,
        project=note.project,
        consumer=note.consumer,
        after={
            "invoice": note.invoice.stripe_invoice_id,
            "amount_minor": note.amount_minor,
            "currency": note.currency,
            "settle": note.settle,
            "status": note.status,
        },
        reason=reason,
    )
