"""What the API says of usage."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from keystore.serializers import Problem
from metering.api.quota_shapes import Amount
from metering.ingest import ACCEPTED, CONFLICT, DUPLICATE, REJECTED
from metering.models import UsageEvent
from metering.status import STATES, EventStatus


class ReceiptShown(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The event's id, as sent.")
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute
        allow_blank=True
    )
    status = serializers.ChoiceField([ACCEPTED, DUPLICATE, CONFLICT, REJECTED])
    code = serializers.CharField(allow_blank=True, help_text="Why not; listed at /docs/errors.")
    detail = serializers.CharField(allow_blank=True)
    event = serializers.UUIDField(
        allow_null=True, help_text="Our id of what is counted under this name."
    )


class ReceiptsShown(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Counted before: nothing was added.")
    conflicts = serializers.IntegerField(help_text="The id was used for another event.")
    rejected = serializers.IntegerField(help_text="Not counted; `code` says why.")
    events = ReceiptShown(many=True, help_text="In the order in which they were sent.")


class EventSent(serializers.Serializer[Any]):
    """For the schema alone: `metering.wire` reads what comes."""

    id = serializers.CharField(
        max_length=255, help_text="The event's own: under it, it counts once, for ever."
    )
    meter = serializers.CharField(max_length=50, help_text="A meter's code.")
    user_id = serializers.CharField(max_length=255, help_text="The app's own id, or con_...")
    quantity = Amount(required=False, help_text="1 if it is left out.")
    occurred_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Left out: when it is received."
    )
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute
        required=False, max_length=255, allow_blank=True, help_text="Who made the id."
    )
    properties = serializers.DictField(required=False, help_text="Up to 4,096 bytes.")
    api = serializers.CharField(required=False, allow_blank=True, help_text="Code or id.")
    key = serializers.CharField(required=False, allow_blank=True, help_text="key_...")


class EventsSent(serializers.Serializer[Any]):
    events = EventSent(many=True, help_text="Up to 1,000.")


class CloudEventSent(serializers.Serializer[Any]):
    specversion = serializers.CharField(help_text="1.0")
    id = serializers.CharField(max_length=255)
    source = serializers.CharField(max_length=255)  # type: ignore[assignment]
    type = serializers.CharField(max_length=50, help_text="A meter's code.")
    subject = serializers.CharField(max_length=255, help_text="The user's id.")
    time = serializers.DateTimeField(required=False)
    datacontenttype = serializers.CharField(required=False)
    data = serializers.DictField(  # type: ignore[assignment]  # DRF's own attribute
        required=False, help_text="The properties; `quantity` is how much."
    )
    api = serializers.CharField(required=False, help_text="Code or id.")
    key = serializers.CharField(required=False, help_text="key_...")


class RefusedEvent(ReceiptsShown, Problem):
    """One event by itself that conflicts or is not taken: the problem, and its receipt."""


class EventNamed(serializers.Serializer[Any]):
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute
        max_length=255, required=False, default="", allow_blank=True, trim_whitespace=False
    )


@extend_schema_serializer(
    examples=[OpenApiExample("sent twice", value={"reason": "sent twice"}, request_only=True)]
)
class VoidRequest(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1000)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a smaller amount",
            value={"quantity": 1200, "reason": "the last part failed"},
            request_only=True,
        )
    ]
)
class AmendRequest(VoidRequest):
    quantity = serializers.JSONField(required=False, help_text='A number, or as text: "0.25".')
    properties = serializers.DictField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "quantity" not in attrs and "properties" not in attrs:
            raise serializers.ValidationError("Send quantity, properties or both.")
        return attrs


class HistoryLine(serializers.Serializer[UsageEvent]):
    event = serializers.UUIDField(source="id")
    quantity = Amount()
    counts_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    corrects = serializers.UUIDField(allow_null=True, help_text="What it takes back or replaces.")
    voids = serializers.BooleanField(help_text="It takes back; its quantity is negative.")


class EventStatusShown(serializers.Serializer[EventStatus]):
    id = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute
        allow_blank=True
    )
    state = serializers.ChoiceField(STATES)
    counted = serializers.BooleanField()
    event = serializers.UUIDField(source="event.id", allow_null=True)
    meter = serializers.CharField(source="event.meter.code", allow_null=True)
    user_id = serializers.CharField(source="event.consumer.external_id", allow_null=True)
    api = serializers.CharField(source="event.api.code", allow_null=True)
    key = serializers.CharField(source="event.key.public_id", allow_null=True)
    quantity = Amount(source="event.quantity", allow_null=True)
    from_credits = Amount(source="event.from_credits", allow_null=True)
    properties = serializers.DictField(source="event.properties", allow_null=True)
    occurred_at = serializers.DateTimeField(source="event.occurred_at", allow_null=True)
    counts_at = serializers.DateTimeField(source="event.counts_at", allow_null=True)
    received_at = serializers.DateTimeField()
    adjustment = serializers.BooleanField(help_text="Its own period was closed when it came.")
    period_start = serializers.DateTimeField(
        source="period.start", allow_null=True, help_text="Of the limit that it counts against."
    )
    period_end = serializers.DateTimeField(source="period.end", allow_null=True)
    code = serializers.CharField(source="rejection.code", allow_null=True, help_text="Why not.")
    detail = serializers.CharField(source="rejection.detail", allow_null=True)
    history = HistoryLine(many=True, help_text="Newest first.")
