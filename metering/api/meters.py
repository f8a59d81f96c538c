"""Meters over HTTP: what is counted, and how."""

from dataclasses import fields, replace
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from entitlements.selectors import feature_by_code
from keystore.authentication import caller_of
from keystore.idempotency import IdempotentWrites
from keystore.models import Project
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.serializers import Problem, checked
from metering.meters import (
    HIGHEST_THRESHOLD,
    MOST_DIMENSIONS,
    MOST_THRESHOLDS,
    MeterTerms,
    archive_meter,
    change_meter,
    create_meter,
)
from metering.models import Aggregation, Meter
from metering.selectors import meter_by_code

PAGE = [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]
TOKENS = {"code": "tokens", "unit": "token", "feature_code": "tokens", "dimensions": ["model"]}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "other thresholds", value={"name": "Tokens", "thresholds": [50, 100]}, request_only=True
        )
    ]
)
class MeterChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    unit = serializers.CharField(max_length=50, required=False, allow_blank=True)
    aggregation = serializers.ChoiceField(Aggregation.choices, required=False)
    value_property = serializers.CharField(
        max_length=100,
        required=False,
        allow_blank=True,
        help_text="The property that is measured; empty: the event's quantity.",
    )
    feature_code = serializers.CharField(
        max_length=50, required=False, allow_null=True, help_text="Whose limit it consumes."
    )
    dimensions = serializers.ListField(
        child=serializers.CharField(max_length=100), max_length=MOST_DIMENSIONS, required=False
    )
    thresholds = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=HIGHEST_THRESHOLD),
        max_length=MOST_THRESHOLDS,
        required=False,
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "what a model reads and writes",
            value={"code": "tokens", "name": "Tokens", "dimensions": ["model"]},
            request_only=True,
        )
    ]
)
class MeterWish(MeterChange):
    code = serializers.SlugField(max_length=50, help_text="The `type` of its CloudEvents.")


@extend_schema_serializer(
    examples=[OpenApiExample("no more", value={"reason": "no more sold"}, request_only=True)]
)
class ArchiveWish(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1000)


class MeterShown(serializers.ModelSerializer[Meter]):
    id = serializers.CharField(source="public_id", help_text="meter_...")
    feature_code = serializers.CharField(source="feature.code", default=None, allow_null=True)
    dimensions = serializers.ListField(child=serializers.CharField())
    thresholds = serializers.ListField(child=serializers.IntegerField())

    class Meta:
        model = Meter
        fields = [
            *("id", "code", "name", "unit", "aggregation", "value_property", "feature_code"),
            *("dimensions", "thresholds", "stripe_event_name", "archived_at", "created_at"),
        ]


class MeterPage(serializers.Serializer[Any]):
    data = MeterShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class MetersView(IdempotentWrites):
    def get_permissions(self) -> list[Any]:
        wanted = "usage:read" if self.request and self.request.method == "GET" else "meters:write"
        return [scope(wanted)()]

    @extend_schema(
        operation_id="meters", summary="What is counted", parameters=PAGE, responses=MeterPage
    )
    def get(self, request: Request) -> Response:
        """Every meter of the project, archived ones included."""
        meters = Meter.objects.filter(project=caller_of(request).project)
        page = page_of(meters.select_related("feature"), request.query_params)
        return Response(page.body(list(MeterShown(page.rows, many=True).data)))

    @extend_schema(
        operation_id="meters_create",
        summary="Count something new",
        request=MeterWish,
        responses={201: MeterShown, 409: Problem},
        examples=[OpenApiExample("tokens", value=TOKENS, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """From the next event on. What is billed at Stripe is named in the catalogue file."""
        asked, caller = checked(MeterWish, request.data), caller_of(request)
        meter = create_meter(
            project=caller.project,
            code=asked["code"],
            terms=_terms(MeterTerms(), asked, caller.project),
            actor=caller.actor,
            at=now(),
        )
        return Response(MeterShown(meter).data, status=201)


class MeterView(IdempotentWrites):
    permission_classes = [scope("meters:write")]

    @extend_schema(
        operation_id="meters_change",
        summary="Change a meter",
        request=MeterChange,
        responses={200: MeterShown, 404: Problem, 409: Problem},
    )
    def patch(self, request: Request, code: str) -> Response:
        """What is left out stays. How it counts is fixed with its first event."""
        asked, caller = checked(MeterChange, request.data), caller_of(request)
        meter = meter_by_code(project=caller.project, code=code, location="path.code")
        kept = {one.name: getattr(meter, one.name) for one in fields(MeterTerms)}
        terms = _terms(MeterTerms(**kept), asked, caller.project)
        changed = change_meter(meter=meter, terms=terms, actor=caller.actor, at=now())
        return Response(MeterShown(changed).data)


class ArchiveView(APIView):
    permission_classes = [scope("meters:write")]

    @extend_schema(
        operation_id="meters_archive",
        summary="Stop counting",
        request=ArchiveWish,
        responses={200: MeterShown, 404: Problem},
    )
    def post(self, request: Request, code: str) -> Response:
        """It takes no more events, and its feature may be given to another meter."""
        asked, caller = checked(ArchiveWish, request.data), caller_of(request)
        meter = meter_by_code(project=caller.project, code=code, location="path.code")
        archived = archive_meter(meter=meter, reason=asked["reason"], actor=caller.actor, at=now())
        return Response(MeterShown(archived).data)


def _terms(old: MeterTerms, asked: dict[str, Any], project: Project) -> MeterTerms:
    known = {one.name for one in fields(MeterTerms)}
    terms = replace(old, **{name: value for name, value in asked.items() if name in known})
    if "feature_code" not in asked:
        return terms
    code = asked["feature_code"]
    feature = feature_by_code(project=project, code=code) if code else None
    return replace(terms, feature=feature)
