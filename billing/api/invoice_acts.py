"""What is done to an open invoice over HTTP: pay it, void it, give it up."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway, invoice_desk, invoices_told
from billing.api.invoice_shapes import InvoiceShown
from billing.api.invoices import find_invoice
from billing.api.subscription_shapes import ActRequest, example
from billing.invoice_desk import Settled
from billing.models import Invoice
from billing.payment_methods import chosen_card
from config.clock import now
from keystore.authentication import KEY_OR_TOKEN, asker_of, project_named
from keystore.idempotency import IdempotentWrites
from keystore.permissions import own_or_scope, scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


@example("with the default card", payment_method="default")
class PayRequest(ActRequest):
    payment_method = serializers.CharField(
        max_length=255,
        required=False,
        default="default",
        help_text="A saved one (pm_...); left out: the one that pays by default.",
    )


class SettledShown(InvoiceShown):
    done = serializers.BooleanField(help_text="false: Stripe has not answered; it is looked after.")
    message = serializers.CharField()


ANSWERS = {200: SettledShown, 202: SettledShown, 404: Problem, 409: Problem}


def _answer(row: Invoice, settled: Settled) -> Response:
    (told,) = invoices_told.tell_all([row])
    shown = SettledShown({**told, "done": settled.done, "message": settled.said})
    return Response(shown.data, status=200 if settled.done else 202)


class PayInvoiceView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("invoices:write")]

    @extend_schema(
        summary="Pay an invoice",
        request=PayRequest,
        parameters=[KEY],
        responses={**ANSWERS, 402: Problem},
    )
    def post(self, request: Request, invoice_id: str) -> Response:
        """With a saved payment method. 402: declined, or the bank asks the payer to confirm at
        `hosted_url`; then nothing was paid.
        """
        row = find_invoice(request, invoice_id)
        asked = checked(PayRequest, request.data)
        project_named(request, asked)
        named = asked["payment_method"]
        with gateway.deadline(WAIT_SECONDS):
            settled = invoice_desk.pay_now(
                invoice=row,
                card=chosen_card(consumer=row.consumer, named=named) if named != "default" else "",
                actor=asker_of(request).actor,
                reason=asked["reason"],
                clock=now,
            )
        return _answer(row, settled)


class AppActView(IdempotentWrites):
    """An act that only the project's backends may do."""

    permission_classes = [scope("invoices:write")]

    def carry_out(
        self, request: Request, invoice_id: str, act: Callable[..., Settled], **more: Any
    ) -> Response:
        row = find_invoice(request, invoice_id)
        asked = checked(ActRequest, request.data)
        project_named(request, asked)
        with gateway.deadline(WAIT_SECONDS):
            settled = act(
                invoice=row,
                actor=asker_of(request).actor,
                reason=asked["reason"],
                clock=now,
                **more,
            )
        return _answer(row, settled)


class VoidInvoiceView(AppActView):
    @extend_schema(
        summary="Void an invoice", request=ActRequest, parameters=[KEY], responses=ANSWERS
    )
    def post(self, request: Request, invoice_id: str) -> Response:
        """An open one is taken back: nobody owes it any more."""
        return self.carry_out(request, invoice_id, invoice_desk.void)


class GiveUpInvoiceView(AppActView):
    @extend_schema(
        summary="Mark an invoice uncollectible",
        request=ActRequest,
        parameters=[KEY],
        responses=ANSWERS,
    )
    def post(self, request: Request, invoice_id: str) -> Response:
        """A bad debt, which may still be paid or voided."""
        return self.carry_out(request, invoice_id, invoice_desk.give_up)
