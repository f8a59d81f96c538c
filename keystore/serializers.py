"""What the API reads and shows of consumers and keys."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from keystore.models import (
    ApiKey,
    Consumer,
    DisabledBecause,
    Environment,
    HookDelivery,
    HookEndpoint,
    OutboxMessage,
)
from keystore.rotation import LONGEST_OVERLAP

MOST_SCOPES = 50
MOST_NETWORKS = 50
MOST_KINDS = 50
LARGEST_LIMIT = 1_000_000_000
MOST_METADATA_BYTES = 8_000  # it is in every answer about the key, its plan in a header


def checked(serializer_class: type[serializers.Serializer[Any]], given: Any) -> dict[str, Any]:
    """What was sent, validated. Raises DRF's ValidationError."""
    serializer = serializer_class(data=given)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a user",
            value={"user_id": "user_42", "email": "user_42@example.com"},
            request_only=True,
        )
    ]
)
class RegisterRequest(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=255, help_text="The app's own id of its user.")
    email = serializers.EmailField(required=False, default="", allow_blank=True)
    name = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")

    def to_internal_value(self, data: Any) -> Any:
        """`external_id` is the same as `user_id`."""
        if isinstance(data, dict) and "user_id" not in data and "external_id" in data:
            data = {**data, "user_id": data["external_id"]}
        return super().to_internal_value(data)


@extend_schema_serializer(
    examples=[OpenApiExample("a new name", value={"name": "Ada Lovelace"}, request_only=True)]
)
class ChangeConsumerRequest(serializers.Serializer[Any]):
    """What is left out stays as it is; an empty text forgets it."""

    email = serializers.EmailField(required=False, allow_blank=True)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)


class ConsumerShown(serializers.ModelSerializer[Consumer]):
    id = serializers.CharField(source="public_id", help_text="con_...")
    user_id = serializers.CharField(source="external_id", help_text="The app's own id.")
    project_id = serializers.IntegerField()
    email = serializers.CharField(read_only=True, help_text="Empty when it was never told.")

    class Meta:
        model = Consumer
        fields = ["id", "user_id", "external_id", "project_id", "email", "name", "created_at"]
        read_only_fields = fields


class ConsumerPage(serializers.Serializer[Any]):
    data = ConsumerShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a test key",
            value={"user_id": "user_42", "name": "laptop", "environment": "test"},
            request_only=True,
        )
    ]
)
class IssueKeyRequest(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=255, help_text="The app's id of the user, or con_.")
    name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    environment = serializers.ChoiceField(Environment.choices, required=False, default="live")
    api = serializers.CharField(
        max_length=50, required=False, help_text="Code of the API that the key is for."
    )
    scopes = serializers.ListField(
        child=serializers.RegexField(r"^[\x21-\x7e]+$", max_length=50),
        max_length=MOST_SCOPES,
        required=False,
        default=list,
    )
    limit_per_minute = serializers.IntegerField(
        min_value=0, max_value=LARGEST_LIMIT, required=False, allow_null=True, default=None
    )
    burst = serializers.IntegerField(
        min_value=1, max_value=LARGEST_LIMIT, required=False, allow_null=True, default=None
    )
    named_limits = serializers.DictField(
        required=False,
        default=dict,
        help_text='Limits beside the one per minute: {"day": {"limit": 10000, '
        '"window_seconds": 86400}}.',
    )
    allowed_cidrs = serializers.ListField(
        child=serializers.CharField(max_length=50),
        max_length=MOST_NETWORKS,
        required=False,
        default=list,
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    metadata = serializers.DictField(required=False, default=dict)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")

    def validate_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(metadata)) > MOST_METADATA_BYTES:
            raise serializers.ValidationError(f"Send at most {MOST_METADATA_BYTES} bytes.")
        return metadata


class KeyShown(serializers.ModelSerializer[ApiKey]):
    id = serializers.CharField(source="public_id", help_text="key_...")
    user_id = serializers.CharField(source="consumer.external_id")
    consumer_id = serializers.CharField(source="consumer.public_id")
    api = serializers.CharField(source="api.code", default=None, allow_null=True)
    limit_per_minute = serializers.IntegerField(allow_null=True, help_text="null: unlimited")
    burst = serializers.IntegerField(source="own_burst", allow_null=True)
    disabled_because = serializers.ChoiceField(
        DisabledBecause.choices, allow_blank=True, help_text="Empty while it is switched on."
    )
    replaced_by = serializers.SerializerMethodField(help_text="key_... of its live successor.")
    used_since_replaced = serializers.BooleanField(
        source="is_used_since_replaced", help_text="Somebody still calls with the old key."
    )

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "user_id",
            "consumer_id",
            "name",
            "environment",
            "api",
            "prefix",
            "last4",
            "scopes",
            "limit_per_minute",
            "burst",
            "named_limits",
            "allowed_cidrs",
            "expires_at",
            "disabled_at",
            "disabled_because",
            "revoked_at",
            "replaced_at",
            "replaced_by",
            "used_since_replaced",
            "last_used_at",
            "created_at",
            "metadata",
        ]
        read_only_fields = fields

    def get_replaced_by(self, key: ApiKey) -> str | None:
        # Prefetched for keys that are listed; a key that was just made has no successor.
        found = getattr(key, "live_successors", [])
        return found[0].public_id if found else None


class IssuedKeyShown(KeyShown):
    key = serializers.SerializerMethodField(help_text="The key itself: shown once, kept nowhere.")

    class Meta(KeyShown.Meta):
        fields = ["key", *KeyShown.Meta.fields]
        read_only_fields = fields

    def get_key(self, key: ApiKey) -> str:
        return str(self.context["plaintext"])


class RotatedKeyShown(IssuedKeyShown):
    replaces = serializers.CharField(source="replaces.public_id", help_text="key_...")
    old_key_works_until = serializers.DateTimeField(source="replaces.expires_at")

    class Meta(IssuedKeyShown.Meta):
        fields = [*IssuedKeyShown.Meta.fields, "replaces", "old_key_works_until"]
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample("a leaked key", value={"reason": "Found in a repository"}, request_only=True)
    ]
)
class RevokeKeyRequest(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample("with an hour for both", value={"overlap_seconds": 3600}, request_only=True)
    ]
)
class RotateKeyRequest(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        required=False,
        default=86_400,
        help_text="How long the old key works on; 0 ends it at once.",
    )
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class KeyPage(serializers.Serializer[Any]):
    data = KeyShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class HookShown(serializers.ModelSerializer[HookEndpoint]):
    id = serializers.CharField(source="public_id", help_text="hook_...")
    enabled = serializers.SerializerMethodField()

    class Meta:
        model = HookEndpoint
        fields = [
            "id",
            "url",
            "kinds",
            "description",
            "enabled",
            "disabled_at",
            "disabled_because",
            "failing_since",
            "created_at",
        ]
        read_only_fields = fields

    def get_enabled(self, endpoint: HookEndpoint) -> bool:
        return endpoint.disabled_at is None


class SecretHookShown(HookShown):
    secret = serializers.SerializerMethodField(help_text="whsec_...: shown once.")

    class Meta(HookShown.Meta):
        fields = ["secret", *HookShown.Meta.fields]
        read_only_fields = fields

    def get_secret(self, endpoint: HookEndpoint) -> str:
        return str(self.context["secret"])


class HookList(serializers.Serializer[Any]):
    data = HookShown(many=True)  # type: ignore[assignment]  # DRF's own attribute


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "new keys alone",
            value={"url": "https://app.example.com/hooks", "kinds": ["key.created"]},
            request_only=True,
        )
    ]
)
class MakeHookRequest(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=500)
    kinds = serializers.ListField(
        child=serializers.CharField(max_length=60),
        max_length=MOST_KINDS,
        required=False,
        default=list,
        help_text="Empty: everything, also kinds that come later.",
    )
    description = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True
    )


@extend_schema_serializer(
    examples=[OpenApiExample("why", value={"reason": "The receiver was down"}, request_only=True)]
)
class HookReason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


@extend_schema_serializer(
    examples=[OpenApiExample("switch it off", value={"enabled": False}, request_only=True)]
)
class ChangeHookRequest(HookReason):
    url = serializers.CharField(max_length=500, required=False)
    kinds = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=MOST_KINDS, required=False
    )
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)


class DeliveryShown(serializers.ModelSerializer[HookDelivery]):
    id = serializers.CharField(source="public_id", help_text="dlv_...")
    message_id = serializers.CharField(source="message.public_id", help_text="The webhook-id.")
    endpoint_id = serializers.CharField(source="endpoint.public_id")
    type = serializers.CharField(source="message.kind")

    class Meta:
        model = HookDelivery
        fields = [
            "id",
            "message_id",
            "endpoint_id",
            "type",
            "state",
            "attempts",
            "last_status",
            "last_error",
            "next_attempt_at",
            "finished_at",
            "created_at",
        ]
        read_only_fields = fields


class DeliveryPage(serializers.Serializer[Any]):
    data = DeliveryShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class MessageShown(serializers.ModelSerializer[OutboxMessage]):
    id = serializers.CharField(source="public_id", help_text="msg_...: the webhook-id.")
    type = serializers.CharField(source="kind")
    timestamp = serializers.DateTimeField(source="created_at")
    data = serializers.DictField()  # type: ignore[assignment]  # DRF's own attribute

    class Meta:
        model = OutboxMessage
        fields = ["id", "type", "timestamp", "data"]
        read_only_fields = fields


class Problem(serializers.Serializer[Any]):
    """What every error looks like (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="Machine readable; listed at /docs/errors.")
    request_id = serializers.CharField()
    errors = serializers.ListField(  # type: ignore[assignment]  # DRF's own attribute
        child=serializers.DictField()
    )
