"""The shapes of checks and flags, for the schema: what is asked is read by `metering.asking`."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from metering.checks import ALLOWED, EXCEEDED, NOT_ENTITLED, NOT_FOUND
from metering.models import OnFailure

CODES = [ALLOWED, NOT_ENTITLED, EXCEEDED, NOT_FOUND]


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "ask",
            value={"user_id": "user_42", "feature_code": "tokens", "quantity": 500},
            request_only=True,
        ),
        OpenApiExample(
            "ask and take",
            value={
                "user_id": "user_42",
                "feature_code": "tokens",
                "quantity": 500,
                "consume": True,
                "event_id": "req_7f1c",
            },
            request_only=True,
        ),
    ]
)
class CheckRequest(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=255, help_text="The app's own id, or con_...")
    feature_code = serializers.CharField(max_length=50)
    quantity = serializers.FloatField(
        min_value=0, default=1, help_text="0: is any use of it open at all?"
    )
    consume = serializers.BooleanField(default=False, help_text="Take it if it fits.")
    reserve = serializers.BooleanField(default=False, help_text="Keep it back if it fits.")
    event_id = serializers.CharField(
        max_length=255, default="", help_text="Of what is consumed: counts once, for ever."
    )
    ttl_seconds = serializers.IntegerField(min_value=1, max_value=86400, default=600)
    with_preview = serializers.BooleanField(
        default=False, help_text="Also name the public plans that would allow it."
    )


class SourceShown(serializers.Serializer[Any]):
    type = serializers.CharField()
    id = serializers.CharField()


class ReservedShown(serializers.Serializer[Any]):
    id = serializers.CharField()
    expires_at = serializers.DateTimeField()


class PlanThatWould(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    rank = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True)
    reset = serializers.CharField()


class PlansThatWould(serializers.Serializer[Any]):
    plans = PlanThatWould(many=True)


class CheckShown(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    code = serializers.CharField(help_text=", ".join(CODES))
    reason = serializers.CharField()
    user_id = serializers.CharField()
    feature = serializers.CharField()
    value = serializers.JSONField(help_text="null: unlimited.")
    limit = serializers.FloatField(allow_null=True, help_text="null: unlimited, or no limit.")
    used = serializers.FloatField(allow_null=True, help_text="null: nothing is counted for it.")
    remaining = serializers.FloatField(allow_null=True, help_text="Without credits.")
    credits = serializers.FloatField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)
    source = SourceShown(allow_null=True)  # type: ignore[assignment]
    valid_to = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField()
    max_age = serializers.IntegerField(help_text="Seconds for which it may be used unasked.")
    on_failure = serializers.ChoiceField(OnFailure.choices)
    event = serializers.CharField(required=False, allow_null=True)
    repeated = serializers.BooleanField(required=False, help_text="The event was taken before.")
    reservation = ReservedShown(required=False, allow_null=True)
    preview = PlansThatWould(required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "two users",
            value={"user_ids": ["user_42", "user_43"], "feature_codes": ["tokens", "labs"]},
            request_only=True,
        )
    ]
)
class BatchRequest(serializers.Serializer[Any]):
    user_ids = serializers.ListField(child=serializers.CharField(max_length=255), max_length=100)
    feature_codes = serializers.ListField(
        child=serializers.CharField(max_length=50), max_length=100
    )
    quantity = serializers.FloatField(min_value=0, default=1)


class BatchLine(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    features = serializers.DictField(child=CheckShown())


class BatchShown(serializers.Serializer[Any]):
    data = BatchLine(many=True)  # type: ignore[assignment]


class FlagContext(serializers.Serializer[Any]):
    targetingKey = serializers.CharField(help_text="The user's id.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("a user", value={"context": {"targetingKey": "user_42"}}, request_only=True)
    ]
)
class FlagRequest(serializers.Serializer[Any]):
    context = FlagContext()  # type: ignore[assignment]


class FlagShown(serializers.Serializer[Any]):
    key = serializers.CharField()
    reason = serializers.ChoiceField(["TARGETING_MATCH", "DISABLED"])
    variant = serializers.CharField()
    value = serializers.JSONField(required=False)
    metadata = serializers.DictField()


class FlagsShown(serializers.Serializer[Any]):
    flags = FlagShown(many=True)
    metadata = serializers.DictField()


class FlagRefused(serializers.Serializer[Any]):
    key = serializers.CharField(required=False)
    errorCode = serializers.ChoiceField(
        ["FLAG_NOT_FOUND", "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]
    )
    errorDetails = serializers.CharField()
