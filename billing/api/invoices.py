"""Invoices over HTTP: the list, one of them, its lines, its PDF."""

from typing import Any

from django.http import HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import gateway, invoices_told
from billing.api.invoice_shapes import InvoiceDetail, InvoiceLineList, InvoiceList, InvoiceShown
from billing.invoice_pdf import file_name, pdf_bytes, pdf_link
from billing.invoices_told import InvoiceNotFound, issued
from billing.models import Invoice
from config.errors import InvalidInput
from keystore.authentication import KEY_OR_TOKEN, asker_of, consumer_meant
from keystore.callers import EndUser
from keystore.pagination import page_of
from keystore.permissions import own_or_scope
from keystore.serializers import Problem

WAIT_SECONDS = 10.0
STATUSES = ("draft", "open", "paid", "void", "uncollectible")
BY = "stripe_invoice_id"
PAGE = [OpenApiParameter("cursor", str), OpenApiParameter("limit", int, description="1 to 100")]
LISTED = [
    OpenApiParameter("user_id", str, description="Of one user; an app may leave it out: of all."),
    OpenApiParameter("status", str, enum=STATUSES),
    *PAGE,
]
STREAM = OpenApiParameter("stream", str, enum=["1"], description="The bytes, not a redirect.")
FILE = {(200, "application/pdf"): OpenApiTypes.BINARY, 302: None, 404: Problem, 409: Problem}


def reachable(request: Request) -> Any:
    """The invoices that the caller may see: an app's of all its users, a user's own."""
    asker = asker_of(request)
    rows = invoices_told.invoices_of(project=asker.project)
    if not isinstance(asker, EndUser):
        return rows
    return issued(rows.filter(consumer=asker.consumer)) if asker.consumer else rows.none()


def find_invoice(request: Request, invoice_id: str) -> Invoice:
    """Raises InvoiceNotFound, for what is somebody else's as well."""
    known = "\x00" not in invoice_id
    found = reachable(request).filter(stripe_invoice_id=invoice_id).first() if known else None
    if found is None:
        raise InvoiceNotFound("There is no such invoice: look at the list.")
    return found  # type: ignore[no-any-return]


def narrowed(rows: Any, query: Any) -> Any:
    """By `status`, if one is asked for."""
    status = query.get("status", "")
    if not status:
        return rows
    if status not in STATUSES:
        raise InvalidInput(
            f"An invoice's status is one of: {', '.join(STATUSES)}.",
            errors=[{"location": "query.status", "message": "Not known.", "fix": "Send one."}],
        )
    return rows.filter(status=status)


def listed(rows: Any, request: Request) -> Response:
    page = page_of(narrowed(rows, request.query_params), request.query_params, by=BY)
    told = invoices_told.tell_all(page.rows)
    return Response(page.body([InvoiceShown(one).data for one in told]))


class InvoicesView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]

    @extend_schema(
        operation_id="invoices_list",
        summary="Invoices",
        parameters=LISTED,
        responses={200: InvoiceList},
    )
    def get(self, request: Request) -> Response:
        """A user's own, without drafts; an app's of all its users, or of one. Newest first."""
        rows = reachable(request)
        user_id = request.query_params.get("user_id", "")
        if user_id:
            consumer = consumer_meant(request, user_id)
            rows = rows.filter(consumer=consumer) if consumer else rows.none()
        return listed(rows, request)


class InvoiceView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]

    @extend_schema(summary="An invoice", responses={200: InvoiceDetail, 404: Problem})
    def get(self, request: Request, invoice_id: str) -> Response:
        """With its first lines and its payments; as last seen while Stripe does not answer."""
        row = find_invoice(request, invoice_id)
        with gateway.deadline(WAIT_SECONDS):
            return Response(InvoiceDetail(invoices_told.tell_one(row)).data)


class InvoiceLinesView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]

    @extend_schema(
        summary="All lines of an invoice",
        parameters=PAGE,
        responses={200: InvoiceLineList, 404: Problem},
    )
    def get(self, request: Request, invoice_id: str) -> Response:
        """A page at a time, however many there are."""
        row = find_invoice(request, invoice_id)
        text = request.query_params.get("limit", "")
        if text and not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 100):
            raise InvalidInput("limit must be a number from 1 to 100.")
        after = request.query_params.get("cursor", "").replace("\x00", "")[:255]
        with gateway.deadline(WAIT_SECONDS):
            found = invoices_told.lines_of(
                row=row, after=after, limit=int(text or invoices_told.LINES_AT_ONCE)
            )
        return Response(InvoiceLineList(found.body()).data)


class PdfRenderer(BaseRenderer):
    """Says that a PDF may be asked for; the view writes it itself."""

    media_type = "application/pdf"
    format = "pdf"

    def render(self, data: Any, *_: Any) -> bytes:
        return JSONRenderer().render(data)


class InvoiceDownloadView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:read")]
    renderer_classes = [JSONRenderer, PdfRenderer]

    @extend_schema(summary="Download an invoice", parameters=[STREAM], responses=FILE)
    def get(self, request: Request, invoice_id: str) -> HttpResponseBase:
        """302 to Stripe's PDF as it is linked now; with `stream=1` the file itself."""
        row = find_invoice(request, invoice_id)
        with gateway.deadline(WAIT_SECONDS):
            link = pdf_link(invoice=row)
        if request.query_params.get("stream", "") not in ("1", "true"):
            response: HttpResponseBase = HttpResponseRedirect(link)
        else:
            response = StreamingHttpResponse(pdf_bytes(link=link), content_type="application/pdf")
            name = f'attachment; filename="{file_name(row)}"'
            response["Content-Disposition"] = name
        response["Cache-Control"] = "no-store"
        return response
