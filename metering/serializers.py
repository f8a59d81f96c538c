"""What the gateway asks and is answered."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from keystore.models import Environment
from metering.decide import Code

LARGEST_COST = 1_000_000_000_000


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a key",
            value={"key": "lk_test_...", "feature": "api_calls"},
            request_only=True,
        )
    ]
)
class VerifyRequest(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=400, help_text="The key that came with the request.")
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=50), max_length=50, required=False, default=list
    )
    feature = serializers.CharField(
        max_length=50, required=False, default="", allow_blank=True, help_text="A feature's code."
    )
    api = serializers.CharField(
        max_length=50, required=False, default="", allow_blank=True, help_text="An API's code."
    )
    environment = serializers.ChoiceField(
        Environment.choices,
        required=False,
        default="",
        allow_blank=True,
        help_text="Keys of the other environment are unknown.",
    )
    ip = serializers.IPAddressField(
        required=False, default="", allow_blank=True, help_text="Where the request came from."
    )

    meter = serializers.CharField(
        max_length=50,
        required=False,
        default="",
        allow_blank=True,
        help_text="Code of a meter from whose quota the request takes.",
    )
    cost = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_COST,
        required=False,
        default=1,
        help_text="How much it takes: of the meter's quota, without a meter of the rate limits.",
    )
    request_id = serializers.CharField(
        max_length=255,
        required=False,
        default="",
        allow_blank=True,
        help_text="The same request is taken from the quota once.",
    )


class ConsumerNamed(serializers.Serializer[Any]):
    id = serializers.CharField()
    external_id = serializers.CharField()
    user_id = serializers.CharField()


class ConsumerDescribed(ConsumerNamed):
    email = serializers.CharField(help_text="Masked: a***@example.com")
    name = serializers.CharField()


class AppNamed(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class ProjectNamed(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    slug = serializers.CharField()
    name = serializers.CharField()


class KeyDescribed(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    last4 = serializers.CharField()
    environment = serializers.CharField()
    api = serializers.CharField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)
    metadata = serializers.DictField()


class RateLimitShown(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="minute, or the name that the limit was given.")
    limit = serializers.IntegerField()
    window_seconds = serializers.IntegerField()
    limit_per_minute = serializers.IntegerField(allow_null=True, help_text="Of the limit minute.")
    remaining = serializers.IntegerField()
    reset_seconds = serializers.IntegerField()
    retry_after_seconds = serializers.IntegerField()


class QuotaLeft(serializers.Serializer[Any]):
    meter = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True, help_text="null: unlimited")
    used = serializers.FloatField()
    remaining = serializers.FloatField(allow_null=True)
    credits = serializers.FloatField()
    resets_at = serializers.DateTimeField(allow_null=True, help_text="null: never")


class DecisionShown(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    code = serializers.ChoiceField([code.value for code in Code])
    detail = serializers.CharField()
    consumer = ConsumerNamed(allow_null=True)
    app = AppNamed(allow_null=True)
    project = ProjectNamed(allow_null=True)
    key = KeyDescribed(allow_null=True)
    plan = serializers.CharField(allow_null=True)
    rate_limit = RateLimitShown(allow_null=True, help_text="null: unlimited or not looked at")
    quota = QuotaLeft(allow_null=True, help_text="null: no meter was named, or not looked at")
    rate_limits = RateLimitShown(many=True, help_text="All of them; rate_limit is the tightest.")


class WhoamiShown(DecisionShown):
    consumer = ConsumerDescribed(allow_null=True)
    entitlements = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="Present when the key is valid."
    )
