"""Credit notes over HTTP: preview, issue, list, get, void."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import gateway
from billing.api.custom_invoices import LARGEST_MINOR, wish_key
from billing.api.invoices import find_invoice
from billing.api.subscription_shapes import ActRequest, Fields, example
from billing.credit_note_desk import REASONS, CreditNoteNotFound, NoteWish, preview_credit_note
from billing.credit_note_steps import issue_credit_note, void_credit_note
from billing.models import CreditNote, Invoice, NoteStatus, SettledBy
from billing.models.credit_notes import UNISSUED
from config.clock import now
from keystore.authentication import (
    KEY_OR_TOKEN,
    asker_of,
    caller_of,
    consumer_meant,
    project_named,
)
from keystore.callers import EndUser
from keystore.errors import InsufficientScope
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import own_or_scope, scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0
MOST_LINES = 100
REFUNDS = "billing:admin"  # a key needs it besides invoices:write to send money back
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
PAGE = [OpenApiParameter("cursor", str), OpenApiParameter("limit", int)]


class CreditedLine(Fields):
    """A part of a line of the invoice, by quantity or by amount before tax; or words and an
    amount of your own.
    """

    line_id = serializers.CharField(max_length=255, required=False, help_text="il_...")
    quantity = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    amount_minor = serializers.IntegerField(min_value=1, max_value=LARGEST_MINOR, required=False)
    description = serializers.CharField(max_length=250, required=False)
    unit_amount_minor = serializers.IntegerField(
        min_value=1, max_value=LARGEST_MINOR, required=False
    )

    def validate(self, line: dict[str, Any]) -> dict[str, Any]:
        wanted = [{"line_id", "quantity"}, {"line_id", "amount_minor"}]
        if "line_id" not in line:
            line.setdefault("quantity", 1)
            wanted = [{"description", "unit_amount_minor", "quantity"}]
        if set(line) not in wanted:
            raise serializers.ValidationError(
                "Send line_id with quantity or amount_minor, or description and unit_amount_minor."
            )
        return line


@example(
    "a part of what was paid",
    amount_minor=500,
    settle="balance",
    stripe_reason="product_unsatisfactory",
    reason="Outage on the 3rd",
)
class CreditNoteRequest(ActRequest):
    amount_minor = serializers.IntegerField(
        min_value=1, max_value=LARGEST_MINOR, required=False, help_text="With its tax."
    )
    lines = CreditedLine(many=True, required=False)
    settle = serializers.ChoiceField(
        SettledBy.choices,
        help_text="due: an open invoice asks for less. Of a paid one: refund, balance (the next "
        "invoices cost less), or outside (given back by other means).",
    )
    stripe_reason = serializers.ChoiceField(REASONS, required=False)
    memo = serializers.CharField(
        max_length=500, required=False, default="", help_text="Printed on the credit note."
    )

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if ("amount_minor" in asked) == bool(asked.get("lines")):
            raise serializers.ValidationError("Send amount_minor or lines.")
        if len(asked.get("lines", [])) > MOST_LINES:
            raise serializers.ValidationError(f"Send up to {MOST_LINES} lines.")
        return asked


class CreditNotePreview(Fields):
    amount_minor = serializers.IntegerField(help_text="With its tax.")
    tax_minor = serializers.IntegerField()
    due_minor = serializers.IntegerField(help_text="By so much less an open invoice asks for.")
    left_minor = serializers.IntegerField(help_text="What may still be credited afterwards.")
    currency = serializers.CharField()


class CreditNoteShown(Fields):
    id = serializers.CharField(source="public_id", help_text="crn_...")
    stripe_credit_note_id = serializers.SerializerMethodField(help_text="cn_..., or null yet.")
    number = serializers.SerializerMethodField(help_text="null until it is issued.")
    status = serializers.ChoiceField(
        NoteStatus.choices,
        help_text="refunding: the money must go back first, which a second person may have to "
        "agree to. wanted: Stripe is being told.",
    )
    invoice_id = serializers.CharField(source="invoice.stripe_invoice_id")
    user_id = serializers.CharField(source="consumer.external_id")
    settle = serializers.SerializerMethodField(help_text="null: made at Stripe.")
    amount_minor = serializers.IntegerField(help_text="With its tax.")
    tax_minor = serializers.IntegerField()
    due_minor = serializers.IntegerField()
    refunded_minor = serializers.IntegerField()
    balance_minor = serializers.IntegerField()
    outside_minor = serializers.IntegerField()
    currency = serializers.CharField()
    reason = serializers.SerializerMethodField(help_text="Stripe's word, or null.")
    memo = serializers.CharField()
    problem = serializers.CharField(help_text="Why it failed or waits; else empty.")
    pdf_url = serializers.SerializerMethodField(help_text="null until it is issued.")
    created_at = serializers.DateTimeField()

    def get_stripe_credit_note_id(self, note: CreditNote) -> str | None:
        return note.stripe_credit_note_id or None

    def get_number(self, note: CreditNote) -> str | None:
        return note.number or None

    def get_settle(self, note: CreditNote) -> str | None:
        return note.settle or None

    def get_reason(self, note: CreditNote) -> str | None:
        return note.reason or None

    def get_pdf_url(self, note: CreditNote) -> str | None:
        return note.pdf_url or None


class CreditNoteList(Fields):
    data = CreditNoteShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


ANSWERS = {200: CreditNoteShown, 202: CreditNoteShown, 404: Problem, 409: Problem}


def reachable(request: Request) -> Any:
    """The notes that the caller may see: an app's of all its users, a user's own once issued."""
    asker = asker_of(request)
    rows = CreditNote.objects.filter(project=asker.project)
    rows = rows.select_related("project", "consumer", "invoice")
    if not isinstance(asker, EndUser):
        return rows
    own = rows.filter(consumer=asker.consumer) if asker.consumer else rows.none()
    return own.filter(status__in=(NoteStatus.ISSUED, NoteStatus.VOID))


def find_note(request: Request, note_id: str) -> CreditNote:
    """By our id or Stripe's. Raises CreditNoteNotFound, for what is somebody else's as well."""
    if "\x00" not in note_id:
        by = "stripe_credit_note_id" if note_id.startswith("cn_") else "public_id"
        found = reachable(request).filter(**{by: note_id}).first()
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise CreditNoteNotFound("There is no such credit note: look at the list.")


def _listed(rows: Any, request: Request) -> Response:
    page = page_of(rows, request.query_params)
    return Response(page.body(list(CreditNoteShown(page.rows, many=True).data)))


def _answer(note: CreditNote, *, made: bool = False) -> Response:
    """202 while its refund or Stripe's answer is missing; what Stripe refused is 422."""
    if note.status == NoteStatus.FAILED:
        raise gateway.StripeRefused(f"It was not issued: {note.problem}", id=note.public_id)
    status = 202 if note.status in UNISSUED else 201 if made else 200
    return Response(CreditNoteShown(note).data, status=status)


def _wish(request: Request, asked: dict[str, Any]) -> NoteWish:
    key = request.headers.get("Idempotency-Key", "")
    return NoteWish(
        settle=asked["settle"],
        reason=asked["reason"],
        amount_minor=asked.get("amount_minor", 0),
        lines=[dict(line) for line in asked.get("lines", [])],
        stripe_reason=asked.get("stripe_reason", ""),
        memo=asked["memo"],
        key=wish_key(caller_of(request).actor, key),
    )


class _Asked(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    def read(self, request: Request, invoice_id: str) -> tuple[Invoice, NoteWish]:
        row = find_invoice(request, invoice_id)
        asked = checked(CreditNoteRequest, request.data)
        project_named(request, asked)
        if asked["settle"] == SettledBy.REFUND and not caller_of(request).may(REFUNDS):
            raise InsufficientScope(
                f"To send money back the key needs the scope {REFUNDS} as well.", scope=REFUNDS
            )
        return row, _wish(request, asked)


class InvoiceCreditNotesView(_Asked):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        wanted = own_or_scope("invoices:read") if reads else scope("invoices:write")
        return [wanted()]

    @extend_schema(
        operation_id="invoice_credit_notes_list",
        summary="Credit notes of an invoice",
        parameters=PAGE,
        responses={200: CreditNoteList, 404: Problem},
    )
    def get(self, request: Request, invoice_id: str) -> Response:
        """Newest first; those made at Stripe as well. A user sees what was issued."""
        row = find_invoice(request, invoice_id)
        return _listed(reachable(request).filter(invoice=row), request)

    @extend_schema(
        summary="Credit an invoice",
        request=CreditNoteRequest,
        parameters=[KEY],
        responses={201: CreditNoteShown, **ANSWERS},
    )
    def post(self, request: Request, invoice_id: str) -> Response:
        """By an amount or by lines, never more than is left of it. 202: its refund waits for a
        second person, or Stripe has not answered; it is looked after.
        """
        row, wish = self.read(request, invoice_id)
        with gateway.deadline(WAIT_SECONDS):
            note = issue_credit_note(
                invoice=row, wish=wish, actor=caller_of(request).actor, person=None, clock=now
            )
        return _answer(note, made=True)


class CreditNotePreviewView(_Asked):
    @extend_schema(
        summary="What a credit note would come to",
        request=CreditNoteRequest,
        responses={200: CreditNotePreview, 404: Problem, 409: Problem},
    )
    def post(self, request: Request, invoice_id: str) -> Response:
        """With the same body as the note itself; changes nothing."""
        row, wish = self.read(request, invoice_id)
        with gateway.deadline(WAIT_SECONDS):
            return Response(CreditNotePreview(preview_credit_note(invoice=row, wish=wish)).data)


class CreditNotesView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]

    @extend_schema(
        operation_id="credit_notes_list",
        summary="Credit notes",
        parameters=[OpenApiParameter("user_id", str), *PAGE],
        responses={200: CreditNoteList},
    )
    def get(self, request: Request) -> Response:
        """A user's own; an app's of all its users, or of one. Newest first."""
        rows = reachable(request)
        if user_id := request.query_params.get("user_id", ""):
            consumer = consumer_meant(request, user_id)
            rows = rows.filter(consumer=consumer) if consumer else rows.none()
        return _listed(rows, request)


class CreditNoteView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]

    @extend_schema(summary="A credit note", responses={200: CreditNoteShown, 404: Problem})
    def get(self, request: Request, note_id: str) -> Response:
        """By our id (crn_...) or Stripe's (cn_...)."""
        return Response(CreditNoteShown(find_note(request, note_id)).data)


class VoidCreditNoteView(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    @extend_schema(
        summary="Void a credit note", request=ActRequest, parameters=[KEY], responses=ANSWERS
    )
    def post(self, request: Request, note_id: str) -> Response:
        """One that lowered what an open invoice asks for: it is due again. Twice is once."""
        note = find_note(request, note_id)
        asked = checked(ActRequest, request.data)
        project_named(request, asked)
        with gateway.deadline(WAIT_SECONDS):
            done = void_credit_note(
                note=note, actor=caller_of(request).actor, reason=asked["reason"], clock=now
            )
        shown = CreditNoteShown(done).data
        return Response(shown, status=200 if done.status == NoteStatus.VOID else 202)
