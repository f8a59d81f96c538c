"""Prices that are agreed with one user, over HTTP; for apps with the scope `billing:admin`."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway
from billing.api.subscription_shapes import Fields, example, require_plan
from billing.models import PriceOverride
from billing.on_sale import find_price
from billing.overrides import LARGEST_MINOR, end_override, set_override
from billing.serializers import USER_ID_LENGTH
from config.clock import now
from config.errors import NotFound
from keystore.authentication import caller_of, consumer_acting, consumer_meant, project_named
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 10.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class OverrideNotFound(NotFound):
    code = "price_override_not_found"


@example("ten dollars", user_id="user_42", plan="pro", amount_minor=1000, reason="Contract 17")
class OverrideRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")
    plan = serializers.CharField(max_length=50, required=False, default="")
    price_id = serializers.CharField(max_length=255, required=False, default="")
    amount_minor = serializers.IntegerField(
        min_value=0, max_value=LARGEST_MINOR, help_text="In the currency of the price."
    )
    reason = serializers.CharField(max_length=500)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        return require_plan(asked)


class OverrideShown(Fields):
    id = serializers.CharField(source="public_id", help_text="ovr_...")
    user_id = serializers.CharField(source="consumer.external_id")
    plan = serializers.CharField(source="price.plan.code")
    in_place_of = serializers.CharField(source="price.stripe_price_id")
    price_id = serializers.CharField(
        source="made.stripe_price_id", default=None, allow_null=True, help_text="null: being made."
    )
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField(source="price.currency")
    reason = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class OverrideList(Fields):
    data = OverrideShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class OverridesView(IdempotentWrites):
    permission_classes = [scope("billing:admin")]

    @extend_schema(
        operation_id="price_overrides_list",
        summary="Prices agreed with users",
        parameters=[
            OpenApiParameter("user_id", str),
            OpenApiParameter("cursor", str),
            OpenApiParameter("limit", int),
        ],
        responses={200: OverrideList},
    )
    def get(self, request: Request) -> Response:
        """Newest first, those that ended included."""
        rows = _rows(request)
        if user_id := request.query_params.get("user_id", ""):
            consumer = consumer_meant(request, user_id)
            rows = rows.filter(consumer=consumer) if consumer else rows.none()
        page = page_of(rows, request.query_params)
        return Response(page.body([OverrideShown(row).data for row in page.rows]))

    @extend_schema(
        summary="Agree on a price with a user",
        request=OverrideRequest,
        parameters=[KEY],
        responses={200: OverrideShown, 202: OverrideShown, 404: Problem},
    )
    def put(self, request: Request) -> Response:
        """Counts for the next checkout or change, in place of the price on sale. What runs
        already is changed by `upgrade` to the same plan.
        """
        asked = checked(OverrideRequest, request.data)
        project = project_named(request, asked)
        price = find_price(
            project=project, stripe_price_id=asked["price_id"], plan_code=asked["plan"]
        )
        consumer = consumer_acting(request, asked["user_id"])
        with gateway.deadline(WAIT_SECONDS):
            row = set_override(
                consumer=consumer,
                price=price,
                amount_minor=asked["amount_minor"],
                actor=caller_of(request).actor,
                reason=asked["reason"],
                at=now(),
            )
        return Response(OverrideShown(row).data, status=200 if row.made else 202)

    post = put


def _rows(request: Request) -> Any:
    rows = PriceOverride.objects.filter(project=caller_of(request).project)
    return rows.select_related("consumer", "price__plan", "made")


class OverrideView(IdempotentWrites):
    permission_classes = [scope("billing:admin")]

    @extend_schema(
        summary="End an agreed price",
        parameters=[KEY],
        responses={200: OverrideShown, 404: Problem},
    )
    def delete(self, request: Request, override_id: str) -> Response:
        """What was bought at it goes on at it."""
        known = "\x00" not in override_id
        row = _rows(request).filter(public_id=override_id).first() if known else None
        if row is None:
            raise OverrideNotFound("There is no such agreed price in this project.")
        end_override(override=row, actor=caller_of(request).actor, reason="", at=now())
        row.refresh_from_db()
        return Response(OverrideShown(row).data)
