"""What is asked of the inbox over HTTP, and what is answered."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.inbox_desk import effects_of
from billing.models import InboxEvent, InboxState, ReplayRun


class EventsQuery(serializers.Serializer):
    state = serializers.ChoiceField(choices=InboxState.choices, required=False)
    type = serializers.CharField(max_length=100, required=False)
    failure = serializers.CharField(max_length=200, required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = serializers.CharField(max_length=255, required=False)


class EventSerializer(serializers.Serializer):
    event_id = serializers.CharField()
    type = serializers.CharField()
    state = serializers.CharField()
    object_id = serializers.CharField()
    stripe_customer_id = serializers.CharField()
    note = serializers.CharField()
    last_error = serializers.CharField()
    failure = serializers.CharField()
    attempts = serializers.IntegerField()
    deliveries = serializers.IntegerField()
    received_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class EventPageSerializer(serializers.Serializer):
    data = EventSerializer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class TrySerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    outcome = serializers.CharField()
    said = serializers.CharField()


class EffectSerializer(serializers.Serializer):
    kind = serializers.CharField()
    id = serializers.CharField()
    said = serializers.CharField()
    at = serializers.DateTimeField()


class OneEventSerializer(EventSerializer):
    tries = TrySerializer(many=True)
    effects = EffectSerializer(many=True)
    payload = serializers.JSONField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "what a replay of last night would change",
            value={
                "state": "parked",
                "since": "2026-05-01T00:00:00Z",
                "until": "2026-05-01T06:00:00Z",
                "dry_run": True,
                "reason": "The worker was down",
            },
            request_only=True,
        )
    ]
)
class RangeRequest(serializers.Serializer):
    type = serializers.CharField(max_length=100, default="")
    state = serializers.ChoiceField(choices=InboxState.choices, required=False)
    failure = serializers.CharField(max_length=200, default="")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    dry_run = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=500)


class ReportLineSerializer(serializers.Serializer):
    event_id = serializers.CharField()
    said = serializers.ListField(child=serializers.CharField())


class RunSerializer(serializers.Serializer):
    replay_id = serializers.CharField()
    state = serializers.CharField()
    dry_run = serializers.BooleanField()
    handled = serializers.IntegerField()
    total = serializers.IntegerField()
    refused = serializers.IntegerField()
    changing = serializers.IntegerField()
    report = ReportLineSerializer(many=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "three days", value={"days": 3, "reason": "The server was down"}, request_only=True
        )
    ]
)
class SweepRequest(serializers.Serializer):
    days = serializers.IntegerField(min_value=1, max_value=30)
    reason = serializers.CharField(max_length=500)


class SweepSerializer(serializers.Serializer):
    read_until = serializers.DateTimeField()


def shown_event(event: InboxEvent) -> dict[str, Any]:
    return dict(EventSerializer(event).data)


def shown_whole_event(event: InboxEvent) -> dict[str, Any]:
    """With its tries, what it led to, and what Stripe sent."""
    effects = effects_of(event)
    tries = event.tries.order_by("pk").values("at", "outcome", "said")
    return {
        **shown_event(event),
        "tries": list(tries),
        "effects": [
            *(_effect("audit", row.object_id, row.act, row) for row in effects.audit),
            *(
                _effect("operation", row.public_id, str(row.kind), row)
                for row in effects.operations
            ),
            *(_effect("hook", row.public_id, row.kind, row) for row in effects.messages),
        ],
        "payload": event.payload,
    }


def _effect(kind: str, name: str, said: str, row: Any) -> dict[str, Any]:
    return {"kind": kind, "id": name, "said": said, "at": row.created_at}


def shown_run(run: ReplayRun) -> dict[str, Any]:
    return {
        "replay_id": run.public_id,
        "state": run.state,
        "dry_run": run.dry_run,
        "handled": run.handled,
        "total": run.total,
        "refused": run.refused,
        "changing": run.changing,
        "report": [{"event_id": one["event_id"], "said": one["said"]} for one in run.report],
    }
