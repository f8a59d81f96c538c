"""Invoices written by hand, over HTTP; for apps with the scope `invoices:write`."""

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import custom_invoices, gateway
from billing.api.subscription_shapes import ActRequest, Fields, example
from billing.custom_invoices import MOST_LINES, CustomInvoiceNotFound, InvoiceWish
from billing.invoices_told import invoices_by_id
from billing.models import CustomInvoice, CustomState
from billing.models.custom_invoices import UNDER_WAY
from billing.serializers import USER_ID_LENGTH
from billing.tax import is_counted
from billing.tax_rates import Tax, named_tax, tax_at_stripe
from config.clock import now
from keystore.authentication import caller_of, consumer_acting, consumer_meant, project_named
from keystore.idempotency import IdempotentWrites
from keystore.models import Project
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0
LARGEST_MINOR = 99_999_999
MOST_TAXES = 5
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class NamedTax(Fields):
    """A rate of tax by its name; Stripe gets it when it is used for the first time."""

    name = serializers.CharField(max_length=50)
    percentage = serializers.DecimalField(
        max_digits=7, decimal_places=4, min_value=Decimal(0), max_value=Decimal(100)
    )
    inclusive = serializers.BooleanField(
        default=False, help_text="true: the prices hold it already."
    )


class Taxed(Fields):
    """Which taxes apply: rates that Stripe has (txr_...), or named ones."""

    tax_rates = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, max_length=5
    )
    taxes = NamedTax(many=True, required=False)

    def validate_taxes(self, taxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(taxes) > MOST_TAXES:
            raise serializers.ValidationError(f"Send up to {MOST_TAXES} taxes.")
        return taxes


class CustomLine(Taxed):
    """Words and an amount, or a price of the project that is paid once. Taxes of a line stand in
    place of those of the invoice.
    """

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
class CustomInvoiceRequest(ActRequest, Taxed):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    currency = serializers.CharField(min_length=3, max_length=3)
    lines = CustomLine(many=True)
    days_until_due = serializers.IntegerField(min_value=0, max_value=365, default=30)
    memo = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    footer = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)
    po_number = serializers.CharField(max_length=140, required=False, default="", allow_blank=True)
    automatic_tax = serializers.BooleanField(
        required=False,
        help_text="Stripe Tax finds the taxes; then name none. Left out: as the project sells, "
        "where no taxes are named.",
    )
    send = serializers.BooleanField(default=False, help_text="Send it at once.")

    def validate_currency(self, text: str) -> str:
        if not (text.isascii() and text.isalpha()):
            raise serializers.ValidationError("Send a currency that Stripe knows, such as usd.")
        return text.lower()

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not 1 <= len(lines) <= MOST_LINES:
            raise serializers.ValidationError(f"Send 1 to {MOST_LINES} lines.")
        return [dict(line) for line in lines]


class LineTaxShown(Fields):
    name = serializers.CharField()
    percentage = serializers.CharField()
    inclusive = serializers.BooleanField()
    tax_rate_id = serializers.CharField(required=False)


class CustomLineShown(Fields):
    description = serializers.CharField(required=False)
    quantity = serializers.IntegerField()
    unit_amount_minor = serializers.IntegerField(required=False)
    price_id = serializers.CharField(required=False)
    taxes = LineTaxShown(many=True, required=False)


class CustomInvoiceShown(Fields):
    id = serializers.CharField(source="public_id", help_text="cin_...")
    state = serializers.ChoiceField(CustomState.choices)
    invoice_id = serializers.SerializerMethodField(help_text="in_...; null until Stripe has it.")
    user_id = serializers.CharField(source="consumer.external_id")
    currency = serializers.CharField()
    lines = CustomLineShown(many=True)
    total_minor = serializers.SerializerMethodField(help_text="As Stripe reckons it, or null yet.")
    tax_minor = serializers.SerializerMethodField(help_text="Part of the total, or null yet.")
    automatic_tax = serializers.BooleanField()
    days_until_due = serializers.IntegerField()
    memo = serializers.CharField()
    footer = serializers.CharField()
    po_number = serializers.CharField()
    problem = serializers.CharField(help_text="Why Stripe refused; else empty.")
    created_at = serializers.DateTimeField()

    def get_invoice_id(self, row: CustomInvoice) -> str | None:
        return row.stripe_invoice_id or None

    def get_total_minor(self, row: CustomInvoice) -> int | None:
        return self._of(row, "total_minor")

    def get_tax_minor(self, row: CustomInvoice) -> int | None:
        return self._of(row, "tax_minor")

    def _of(self, row: CustomInvoice, column: str) -> int | None:
        invoice = row.stripe_invoice_id and self.context["invoices"].get(row.stripe_invoice_id)
        return getattr(invoice, column) if invoice else None


def _shown(rows: Sequence[CustomInvoice]) -> list[Any]:
    ids = [row.stripe_invoice_id for row in rows if row.stripe_invoice_id]
    invoices = {one.stripe_invoice_id: one for one in invoices_by_id(ids)}
    return list(CustomInvoiceShown(rows, many=True, context={"invoices": invoices}).data)


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
    return Response(_shown([row])[0], status=status)


def wish_key(actor: str, key: str) -> str:
    """The app's own Idempotency-Key in a form that fits a column; "" without one."""
    return f"{actor}:{hashlib.sha256(key.encode()).hexdigest()[:40]}" if key else ""


def _rows(request: Request) -> Any:
    rows = CustomInvoice.objects.filter(project=caller_of(request).project)
    return rows.select_related("project", "consumer")


def _find(request: Request, custom_id: str) -> CustomInvoice:
    known = "\x00" not in custom_id
    found = _rows(request).filter(public_id=custom_id).first() if known else None
    if found is None:
        raise CustomInvoiceNotFound("There is no such invoice: look at the list.")
    return found  # type: ignore[no-any-return]


def _wish(project: Project, asked: dict[str, Any], key: str) -> InvoiceWish:
    """Each line with its own taxes, or with those of the invoice."""
    read: dict[str, Tax] = {}
    common = _taxes(asked, read)
    lines = [
        {
            **{name: value for name, value in line.items() if name not in ("taxes", "tax_rates")},
            **({"taxes": taxes} if (taxes := _taxes(line, read) or common) else {}),
        }
        for line in asked["lines"]
    ]
    taxed = any("taxes" in line for line in lines)
    names = ("currency", "days_until_due", "memo", "footer", "po_number")
    return InvoiceWish(
        lines=lines,
        automatic_tax=asked.get("automatic_tax", not taxed and is_counted(project)),
        key=key,
        **{name: asked[name] for name in names},
    )


def _taxes(asked: dict[str, Any], read: dict[str, Tax]) -> list[Tax]:
    """`read` keeps what Stripe said, for a rate is on many lines."""
    for stripe_id in asked.get("tax_rates", []):
        if stripe_id not in read:
            read[stripe_id] = tax_at_stripe(stripe_id)
    found = [read[stripe_id] for stripe_id in asked.get("tax_rates", [])]
    return [*found, *(named_tax(**tax) for tax in asked.get("taxes", []))]


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
        return Response(page.body(_shown(page.rows)))

    @extend_schema(
        summary="Write an invoice",
        request=CustomInvoiceRequest,
        parameters=[KEY],
        responses={201: CustomInvoiceShown, **ANSWERS},
    )
    def post(self, request: Request) -> Response:
        """A draft that nobody sees yet, on net terms; with `send` it goes out at once. The same
        content for the same user within two minutes is the first one, unless each has an
        Idempotency-Key of its own.
        """
        asked = checked(CustomInvoiceRequest, request.data)
        project_named(request, asked)
        actor = caller_of(request).actor
        consumer = consumer_acting(request, asked["user_id"])
        key = wish_key(actor, request.headers.get("Idempotency-Key", ""))
        with gateway.deadline(WAIT_SECONDS):
            row = custom_invoices.draft_invoice(
                consumer=consumer,
                wish=_wish(consumer.project, asked, key),
                actor=actor,
                reason=asked["reason"],
                clock=now,
            )
            if asked["send"] and row.state == CustomState.DRAFT:
                row = custom_invoices.send(row=row, actor=actor, reason=asked["reason"], clock=now)
        return _answer(row, made=True)


class CustomInvoiceView(IdempotentWrites):
    permission_classes = [scope("invoices:write")]

    @extend_schema(
        summary="An invoice written by hand", responses={200: CustomInvoiceShown, 404: Problem}
    )
    def get(self, request: Request, custom_id: str) -> Response:
        """Its state, lines and totals; taxes by rate in GET /api/v1/invoices/{invoice_id}."""
        return Response(_shown([_find(request, custom_id)])[0])


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
