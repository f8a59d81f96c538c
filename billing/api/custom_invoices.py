"""Invoices written by hand, over HTTP; for apps with the scope `invoices:write`."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import custom_invoices, gateway
from billing.api.subscription_shapes import ActRequest, Fields, example
from billing.custom_invoices import CustomInvoiceNotFound
from billing.models import CustomInvoice, CustomState
from billing.models.custom_invoices import UNDER_WAY
from billing.serializers import USER_ID_LENGTH
from config.clock import now
from keystore.authentication import caller_of, consumer_acting, consumer_meant, project_named
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0
MOST_LINES = 250  # of one call at Stripe
LARGEST_MINOR = 99_999_999
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class CustomLine(Fields):
    """Words and an amount, or a price of the project that is paid once."""

    description = serializers.CharField(max_length=250, required=False)
    quantity = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    unit_amount_minor = serializers.IntegerField(
        min_value=0, max_value=LARGEST_MINOR, required=False
    )
    price_id = serializers.CharField(max_length=255, required=False)

    def validate(self, line: dict[str, Any]) -> dict[str, Any]:
        by_hand = "unit_amount_minor" in line and "description" in line
        if by_hand == ("price_id" in line) or ("price_id" in line and "unit_amount_minor" in line):
            raise serializers.ValidationError(
                "A line has a description and unit_amount_minor, or a price_id alone."
            )
        if line["quantity"] * line.get("unit_amount_minor", 0) > LARGEST_MINOR:
            raise serializers.ValidationError(f"A line may come to {LARGEST_MINOR} at most.")
        return line


@example(
    "a year for a company",
    user_id="user_42",
    currency="usd",
    days_until_due=30,
    po_number="PO-17",
    lines=[{"description": "Enterprise, one year", "quantity": 1, "unit_amount_minor": 1200000}],
)
class CustomInvoiceRequest(ActRequest):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    currency = serializers.CharField(min_length=3, max_length=3)
    lines = CustomLine(many=True)
    days_until_due = serializers.IntegerField(min_value=0, max_value=365, default=30)
    memo = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    po_number = serializers.CharField(max_length=140, required=False, default="", allow_blank=True)
    send = serializers.BooleanField(default=False, help_text="Send it at once.")

    def validate_currency(self, text: str) -> str:
        if not (text.isascii() and text.isalpha()):
            raise serializers.ValidationError("Send a currency that Stripe knows, such as usd.")
        return text.lower()

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not 1 <= len(lines) <= MOST_LINES:
            raise serializers.ValidationError(f"Send 1 to {MOST_LINES} lines.")
        return [dict(line) for line in lines]


class CustomInvoiceShown(Fields):
    id = serializers.CharField(source="public_id", help_text="cin_...")
    state = serializers.ChoiceField(CustomState.choices)
    invoice_id = serializers.SerializerMethodField(help_text="in_...; null until Stripe has it.")
    user_id = serializers.CharField(source="consumer.external_id")
    currency = serializers.CharField()
    lines = CustomLine(many=True)
    days_until_due = serializers.IntegerField()
    memo = serializers.CharField()
    po_number = serializers.CharField()
    problem = serializers.CharField(help_text="Why Stripe refused; else empty.")
    created_at = serializers.DateTimeField()

    def get_invoice_id(self, row: CustomInvoice) -> str | None:
        return row.stripe_invoice_id or None


class CustomInvoiceList(Fields):
    data = CustomInvoiceShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


ANSWERS = {200: CustomInvoiceShown, 202: CustomInvoiceShown, 404: Problem, 409: Problem}


def _answer(row: CustomInvoice, *, made: bool = False) -> Response:
    """202 while Stripe's answer is missing; what it refused is 422."""
    if row.problem:
        raise gateway.StripeRefused(f"Stripe refused: {row.problem}", id=row.public_id)
    status = 202 if row.state in UNDER_WAY else 201 if made else 200
    return Response(CustomInvoiceShown(row).data, status=status)


def _rows(request: Request) -> Any:
    rows = CustomInvoice.objects.filter(project=caller_of(request).project)
    return rows.select_related("project", "consumer")


def _find(request: Request, custom_id: str) -> CustomInvoice:
    known = "\x00" not in custom_id
    found = _rows(request).filter(public_id=custom_id).first() if known else None
    if found is None:
        raise CustomInvoiceNotFound("There is no such invoice: look at the list.")
    return found  # type: ignore[no-any-return]


class CustomInvoicesView(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    @extend_schema(
        operation_id="custom_invoices_list",
        summary="Invoices written by hand",
        parameters=[
            OpenApiParameter("user_id", str),
            OpenApiParameter("cursor", str),
            OpenApiParameter("limit", int),
        ],
        responses={200: CustomInvoiceList},
    )
    def get(self, request: Request) -> Response:
        """Of all users, or of one. Newest first."""
        rows = _rows(request)
        if user_id := request.query_params.get("user_id", ""):
            consumer = consumer_meant(request, user_id)
            rows = rows.filter(consumer=consumer) if consumer else rows.none()
        page = page_of(rows, request.query_params)
        return Response(page.body(list(CustomInvoiceShown(page.rows, many=True).data)))

    @extend_schema(
        summary="Write an invoice",
        request=CustomInvoiceRequest,
        parameters=[KEY],
        responses={201: CustomInvoiceShown, **ANSWERS},
    )
    def post(self, request: Request) -> Response:
        """A draft that nobody sees yet, on net terms; with `send` it goes out at once."""
        asked = checked(CustomInvoiceRequest, request.data)
        project_named(request, asked)
        actor = caller_of(request).actor
        wish = {
            name: asked[name]
            for name in ("currency", "lines", "days_until_due", "memo", "po_number", "reason")
        }
        consumer = consumer_acting(request, asked["user_id"])
        with gateway.deadline(WAIT_SECONDS):
            row = custom_invoices.draft_invoice(consumer=consumer, actor=actor, clock=now, **wish)
            if asked["send"] and row.state == CustomState.DRAFT:
                row = custom_invoices.send(row=row, actor=actor, reason=asked["reason"], clock=now)
        return _answer(row, made=True)


class CustomInvoiceView(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    @extend_schema(
        summary="An invoice written by hand", responses={200: CustomInvoiceShown, 404: Problem}
    )
    def get(self, request: Request, custom_id: str) -> Response:
        """Its state and its lines; the amounts are those of GET /api/v1/invoices/{invoice_id}."""
        return Response(CustomInvoiceShown(_find(request, custom_id)).data)


class CustomActView(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    def carry_out(
        self, request: Request, custom_id: str, act: Callable[..., CustomInvoice]
    ) -> Response:
        row = _find(request, custom_id)
        asked = checked(ActRequest, request.data)
        project_named(request, asked)
        with gateway.deadline(WAIT_SECONDS):
            done = act(row=row, actor=caller_of(request).actor, reason=asked["reason"], clock=now)
        return _answer(done)


class SendCustomInvoiceView(CustomActView):
    @extend_schema(
        summary="Send an invoice written by hand",
        request=ActRequest,
        parameters=[KEY],
        responses=ANSWERS,
    )
    def post(self, request: Request, custom_id: str) -> Response:
        """It gets its number and is mailed by Stripe. Twice sends it once."""
        return self.carry_out(request, custom_id, custom_invoices.send)


class VoidCustomInvoiceView(CustomActView):
    @extend_schema(
        summary="Take an invoice written by hand back",
        request=ActRequest,
        parameters=[KEY],
        responses=ANSWERS,
    )
    def post(self, request: Request, custom_id: str) -> Response:
        """A draft is deleted, what was sent is void; what is paid stays (422)."""
        return self.carry_out(request, custom_id, custom_invoices.withdraw)
