"""What was used with one key, of every meter."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from keystore.authentication import caller_of
from keystore.models import ApiKey
from keystore.permissions import scope
from keystore.selectors import consumer_key
from keystore.serializers import Problem, checked
from metering.api.report_shapes import UsageLine, UsageQuery
from metering.api.reports import line_of
from metering.models import Meter
from metering.usage import UsageWish, usage_of
from metering.windows import Span, span_of, zone_named


class KeyUsageQuery(UsageQuery):
    """Of one key; all that is left out as in GET /usage."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {name: fields[name] for name in ("window", "timezone", "from", "to")}


class MeterUsed(serializers.Serializer[Any]):
    meter = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    aggregation = serializers.CharField()
    data = UsageLine(many=True)  # type: ignore[assignment]  # DRF's own attribute


class KeyUsageShown(serializers.Serializer[Any]):
    key_id = serializers.CharField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    window = serializers.CharField()
    timezone = serializers.CharField()
    usage = MeterUsed(many=True)


class KeyUsageView(APIView):
    permission_classes = [scope("usage:read")]

    @extend_schema(
        operation_id="keys_usage",
        summary="What was used with a key",
        parameters=[KeyUsageQuery],
        responses={200: KeyUsageShown, 400: Problem, 401: Problem, 403: Problem, 404: Problem},
    )
    def get(self, request: Request, key_id: str) -> Response:
        """By meter and window, right to the last event. Meters without usage are left out."""
        key = consumer_key(project=caller_of(request).project, key_id=key_id)
        query = checked(KeyUsageQuery, request.query_params)
        zone = zone_named(query["timezone"])
        span = span_of(
            start=query["from"], end=query["to"], window=query["window"], zone=zone, at=now()
        )
        meters = Meter.objects.filter(project=key.project_id).order_by("code")
        used = [_used(key, meter, span, query["window"], zone) for meter in meters]
        told = {
            "key_id": key.public_id,
            "last_used_at": key.last_used_at,
            "window": query["window"],
            "timezone": zone.key,
            "usage": [one for one in used if one["data"]],
        }
        return Response(told, headers={"Cache-Control": "no-store"})


def _used(key: ApiKey, meter: Meter, span: Span, window: str, zone: Any) -> dict[str, Any]:
    wish = UsageWish(
        meter=meter, span=span, window=window, zone=zone, consumer=key.consumer, key=key
    )
    return {
        "meter": meter.code,
        "unit": meter.unit,
        "aggregation": meter.aggregation,
        "data": [line_of(row) for row in usage_of(wish)],
    }
