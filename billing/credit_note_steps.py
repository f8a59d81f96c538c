"""From a credit note that is wanted to its end at Stripe, and the way back: voiding it.

Each step is a row's state, so whoever comes next goes on where a crash ended.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from billing import gateway
from billing.credit_note_desk import LATER, Clock, NoteWish, tell_stripe, want_credit_note
from billing.credit_notes import project_credit_note
from billing.credits import recount_credits
from billing.gateway import Object
from billing.invoice_desk import follow_customer
from billing.models import (
    CreditNote,
    Invoice,
    NoteStatus,
    Operation,
    OperationKind,
    OperationState,
    RequestState,
    StripeCustomer,
)
from billing.models.credit_notes import UNISSUED
from billing.models.refund_requests import OPEN_REQUESTS
from billing.operations import run_operation, want
from billing.refund_steps import follow_request
from config.errors import Conflict
from keystore import audit


class CreditNoteState(Conflict):
    """It is not in a state that allows what was asked."""

    code = "credit_note_state"


def issue_credit_note(
    *, invoice: Invoice, wish: NoteWish, actor: str, person: User | None, clock: Clock
) -> CreditNote:
    """Credit the invoice as far as Stripe answers; see `want_credit_note` for what is raised."""
    note = want_credit_note(invoice=invoice, wish=wish, actor=actor, person=person, clock=clock)
    return advance_note(note=note, clock=clock)


def advance_note(*, note: CreditNote, clock: Clock) -> CreditNote:
    """Take the steps that are left, as far as Stripe answers; safe at any time, by many."""
    gateway.refuse_inside_transaction()
    note = _reload(note)
    if note.status == NoteStatus.REFUNDING:
        assert note.refund_request is not None
        if note.refund_request.state == RequestState.RUNNING:
            follow_request(request=note.refund_request, clock=clock)
        _after_refund(note, clock())
        note = _reload(note)
    if note.status == NoteStatus.WANTED:
        assert note.operation is not None
        run_operation(operation=note.operation, at=clock())
        note = _reload(note)
        if note.status == NoteStatus.ISSUED:
            _follow(note, clock)
    return _reload(note)


def work_credit_notes(*, clock: Clock, limit: int = 20) -> int:
    """The sweeper: go on with those whose next step is due. Returns how many."""
    due = CreditNote.objects.filter(status__in=UNISSUED, next_look_at__lte=clock())
    rows = list(due.order_by("next_look_at")[:limit])
    for row in rows:
        CreditNote.objects.filter(pk=row.pk).update(next_look_at=clock() + LATER)
        advance_note(note=row, clock=clock)
    return len(rows)


def _reload(note: CreditNote) -> CreditNote:
    rows = CreditNote.objects.select_related("project", "consumer", "invoice", "operation")
    return rows.select_related("refund_request__refund").get(pk=note.pk)


@transaction.atomic
def _after_refund(note: CreditNote, at: datetime) -> None:
    """The refund's end decides: with the money on its way the note is told to Stripe."""
    list(Invoice.objects.select_for_update(of=("self",), no_key=True).filter(pk=note.invoice_id))
    rows = CreditNote.objects.select_for_update(of=("self",), no_key=True)
    held = rows.select_related("project", "invoice").get(pk=note.pk)
    request = held.refund_request  # read after the lock: joined, it could be older
    assert request is not None
    if held.status != NoteStatus.REFUNDING or request.state in OPEN_REQUESTS:
        return
    if request.state == RequestState.DONE:
        tell_stripe(held, at)
        return
    said = request.problem or request.decision_reason
    _fail(held, f"Its refund {request} is {request.state}: {said}")


def settle_credit_note(operation: Operation, found: Object) -> None:
    """Stripe issued it; a sync that saw it before us wrote the same."""
    note = CreditNote.objects.get(operation=operation)
    holder = StripeCustomer.objects.get(consumer=note.consumer_id)
    project_credit_note(
        found=found, holder=holder, at=operation.finished_at or operation.created_at
    )


def fail_credit_note(operation: Operation, problem: str) -> None:
    """Stripe refused it: its amount may be credited again."""
    note = CreditNote.objects.select_related("invoice", "refund_request__refund").get(
        operation=operation
    )
    list(Invoice.objects.select_for_update(of=("self",), no_key=True).filter(pk=note.invoice_id))
    said = problem
    if note.refund_request is not None:
        said = f"The money went back ({note.refund_request.refund}), but no note: {problem}"
    _fail(note, said)


def _fail(note: CreditNote, problem: str) -> None:
    CreditNote.objects.filter(pk=note.pk, status__in=UNISSUED).update(
        status=NoteStatus.FAILED, problem=problem
    )
    recount_credits(note.invoice)


def void_credit_note(*, note: CreditNote, actor: str, reason: str, clock: Clock) -> CreditNote:
    """Take back a note that lowered what an open invoice asks for: it is due again. Twice is once.

    Raises CreditNoteState where money went back or the invoice is not open any more.
    """
    gateway.refuse_inside_transaction()
    if note.status == NoteStatus.VOID:
        return note
    if note.status != NoteStatus.ISSUED:
        raise CreditNoteState(f"The credit note is {note.status}: only issued ones are voided.")
    if note.due_minor != note.amount_minor:
        raise CreditNoteState("What went back cannot be voided: write an invoice for it instead.")
    operation = _want_void(note, actor, reason, clock())
    run_operation(operation=operation, at=clock())
    _follow(note, clock)
    if operation.state == OperationState.FAILED:
        raise CreditNoteState(f"Stripe refused: {operation.error} Nothing was changed.")
    return _reload(note)


@transaction.atomic
def _want_void(note: CreditNote, actor: str, reason: str, at: datetime) -> Operation:
    operation = want(
        project=note.project,
        kind=OperationKind.VOID_CREDIT_NOTE,
        path=f"/v1/credit_notes/{note.stripe_credit_note_id}/void",
        params={},
        subject=note.stripe_credit_note_id,
        actor=actor,
        at=at,
    )
    audit.record(
        actor=actor,
        act="credit_note.void",
        target=note,
        project=note.project,
        consumer=note.consumer,
        after={"operation": operation.public_id, "amount_minor": note.amount_minor},
        reason=reason,
        at=at,
    )
    return operation


def find_voided(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/credit_notes/{operation.subject}")
    return found if found["status"] == "void" else None


def _follow(note: CreditNote, clock: Clock) -> None:
    touched = [
        ("invoice", note.invoice.stripe_invoice_id),
        ("credit_note", note.stripe_credit_note_id),
    ]
    follow_customer(consumer=note.consumer, touched=touched, clock=clock)
