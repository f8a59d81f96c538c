"""Where a customer is billed and their tax ids, over HTTP."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway
from billing.api.subscription_shapes import Fields, example
from billing.billing_details import (
    Address,
    Details,
    add_tax_id,
    details_of,
    remove_tax_id,
    set_address,
)
from billing.payment_methods import holder_of
from billing.serializers import USER_ID_LENGTH
from config.clock import now
from keystore.authentication import (
    KEY_OR_TOKEN,
    asker_of,
    consumer_acting,
    consumer_meant,
    project_named,
)
from keystore.idempotency import IdempotentWrites
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 10.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
WHOSE = OpenApiParameter("user_id", str, description="Whose; a user's token needs none.")


def _text(longest: int) -> serializers.CharField:
    return serializers.CharField(
        max_length=longest, required=False, default="", allow_blank=True, allow_null=False
    )


class AddressFields(Fields):
    country = serializers.RegexField(r"\A[A-Za-z]{2}\Z", help_text="Two letters, such as DE.")
    line1 = _text(200)
    line2 = _text(200)
    city = _text(100)
    state = _text(100)
    postal_code = _text(20)

    def validate_country(self, value: str) -> str:
        return value.upper()


@example(
    "in Berlin",
    user_id="user_42",
    name="Ada GmbH",
    address={"line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"},
)
class DetailsRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH, required=False, default="")
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    name = _text(200)
    address = AddressFields()
    reason = _text(500)


@example("of a company", user_id="user_42", type="eu_vat", value="DE123456789")
class TaxIdRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH, required=False, default="")
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    type = serializers.RegexField(
        r"\A[a-z]{2}_[a-z_]{2,20}\Z", help_text="Stripe's word: eu_vat, gb_vat, us_ein, ..."
    )
    value = serializers.CharField(max_length=50)
    reason = _text(500)


class TaxIdFields(Fields):
    id = serializers.CharField(help_text="txi_...")
    type = serializers.CharField()
    value = serializers.CharField()
    country = serializers.CharField(allow_null=True)
    verification = serializers.CharField(
        allow_null=True, help_text="pending, verified, unverified or unavailable"
    )


class DetailsShown(Fields):
    name = serializers.CharField()
    email = serializers.CharField()
    address = AddressFields(allow_null=True)
    tax_location = serializers.CharField(
        help_text="supported: Stripe Tax knows where they are; unrecognized_location: it does not."
    )
    tax_ids = TaxIdFields(many=True)


def shown(details: Details) -> Any:
    return DetailsShown(details).data


class BillingDetailsView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        return [own_or_scope(f"payment-methods:{'read' if reads else 'write'}")()]

    @extend_schema(
        operation_id="billing_details",
        summary="Address and tax ids",
        parameters=[WHOSE],
        responses={200: DetailsShown, 503: Problem},
    )
    def get(self, request: Request) -> Response:
        """As Stripe has them now; empty for who never bought."""
        holder = holder_of(consumer_meant(request, request.query_params.get("user_id", "")))
        with gateway.deadline(WAIT_SECONDS):
            return Response(shown(details_of(holder)))

    @extend_schema(
        operation_id="billing_details_change",
        summary="Change the address",
        request=DetailsRequest,
        parameters=[KEY],
        responses={200: DetailsShown, 422: Problem, 503: Problem},
    )
    def put(self, request: Request) -> Response:
        """Tax is counted by it from the next invoice on. A place that says too little is refused
        as a whole (422 `tax_location_needed`).
        """
        asked = checked(DetailsRequest, request.data)
        project_named(request, asked)
        consumer = consumer_acting(request, asked["user_id"])
        with gateway.deadline(WAIT_SECONDS):
            details = set_address(
                consumer=consumer,
                address=Address(**asked["address"]),
                name=asked["name"],
                actor=asker_of(request).actor,
                reason=asked["reason"],
                clock=now,
            )
        return Response(shown(details))


class TaxIdsView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("payment-methods:write")]

    @extend_schema(
        operation_id="tax_id_add",
        summary="Add a tax id",
        request=TaxIdRequest,
        parameters=[KEY],
        responses={200: DetailsShown, 400: Problem, 503: Problem},
    )
    def post(self, request: Request) -> Response:
        """It stands on the invoices to come; an EU VAT id reverses the charge there."""
        asked = checked(TaxIdRequest, request.data)
        project_named(request, asked)
        consumer = consumer_acting(request, asked["user_id"])
        with gateway.deadline(WAIT_SECONDS):
            details = add_tax_id(
                consumer=consumer,
                kind=asked["type"],
                value=asked["value"].strip().upper(),
                actor=asker_of(request).actor,
                reason=asked["reason"],
                clock=now,
            )
        return Response(shown(details))


class TaxIdView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("payment-methods:write")]

    @extend_schema(
        operation_id="tax_id_remove",
        summary="Remove a tax id",
        parameters=[WHOSE, KEY],
        responses={200: DetailsShown, 404: Problem, 503: Problem},
    )
    def delete(self, request: Request, tax_id: str) -> Response:
        """From the invoices to come; those that exist keep it."""
        holder = holder_of(consumer_meant(request, request.query_params.get("user_id", "")))
        with gateway.deadline(WAIT_SECONDS):
            details = remove_tax_id(
                holder=holder,
                tax_id=tax_id,
                actor=asker_of(request).actor,
                reason="",
                clock=now,
            )
        return Response(shown(details))
