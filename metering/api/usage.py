"""Usage over HTTP: events in."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from config.clock import now
from keystore.authentication import caller_of
from keystore.errors import TooLarge
from keystore.permissions import scope
from metering.api.usage_shapes import (
    CloudEventSent,
    EventSent,
    EventsSent,
    ReceiptsShown,
    RefusedEvent,
)
from metering.taking import take_events
from metering.wire import BATCH, MOST_BYTES, PLAIN, STRUCTURED

ONE = {
    "id": "7f1c",
    "meter": "tokens",
    "user_id": "user_42",
    "quantity": 1500,
    "properties": {"model": "large"},
}
CLOUD = {
    "specversion": "1.0",
    "id": "7f1c",
    "source": "/assistant",
    "type": "tokens",
    "subject": "user_42",
    "time": "2026-11-21T12:00:00Z",
    "data": {"quantity": 1500, "model": "large"},
}
EXAMPLES = [
    OpenApiExample("one", value=ONE, request_only=True, media_type=PLAIN),
    OpenApiExample(
        "several",
        value={"events": [ONE, {**ONE, "id": "7f1d", "quantity": "0.25"}]},
        request_only=True,
        media_type=PLAIN,
    ),
    OpenApiExample("CloudEvent", value=CLOUD, request_only=True, media_type=STRUCTURED),
    OpenApiExample("CloudEvents", value=[CLOUD], request_only=True, media_type=BATCH),
]
REFUSED = [(status, "application/problem+json") for status in (409, 422)]  # one event by itself


class EventsView(APIView):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="usage_events_record",
        summary="Tell what was used",
        request={
            PLAIN: PolymorphicProxySerializer(
                component_name="EventOrEvents",
                serializers=[EventSent, EventsSent],
                resource_type_field_name=None,
            ),
            STRUCTURED: CloudEventSent,
            BATCH: {"type": "array", "items": {"$ref": "#/components/schemas/CloudEventSent"}},
        },
        responses={200: ReceiptsShown, **dict.fromkeys(REFUSED, RefusedEvent)},
        examples=EXAMPLES,
    )
    def post(self, request: Request) -> HttpResponse:
        """One event or up to 1,000, as plain JSON or as CloudEvents. Each is counted once.

        200 with a receipt per event; one event by itself that conflicts or is refused: 409, 422.
        """
        taken = take_events(
            body_of(request),
            content_type=request.META.get("CONTENT_TYPE", ""),
            headers=cloud_headers(request.META),
            project=caller_of(request).project,
            at=now(),
        )
        return HttpResponse(taken.body, status=taken.status, headers=taken.headers)


def body_of(request: Request) -> bytes:
    """The body as it came, read only as far as it may be long."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length[:20]) > MOST_BYTES:
        raise TooLarge(f"A body may have {MOST_BYTES:,} bytes: send fewer events at a time.")
    return bytes(request._request.read(MOST_BYTES + 1))


def cloud_headers(meta: dict[str, Any]) -> dict[str, str]:
    """The headers of a CloudEvent in binary mode; none for other requests."""
    if "HTTP_CE_SPECVERSION" not in meta:
        return {}
    return {
        name[5:].lower().replace("_", "-"): str(value)
        for name, value in meta.items()
        if name.startswith("HTTP_CE_")
    }
