"""The shapes in which usage is asked for and shown."""

from typing import Any

from rest_framework import serializers

from entitlements.serializers import (
    AnswerSerializer,
    EntitlementSerializer,
    ExplanationSerializer,
)
from metering.api.quota_shapes import Amount
from metering.windows import DAY, WINDOWS


def _optional(most: int, told: str, **options: Any) -> serializers.CharField:
    return serializers.CharField(
        max_length=most,
        required=False,
        default=options.pop("default", ""),
        allow_blank=True,
        help_text=told,
        **options,
    )


class UsageQuery(serializers.Serializer[Any]):
    meter = serializers.CharField(max_length=50, help_text="A meter's code.")
    user_id = _optional(255, "Of one user; left out: of all.", trim_whitespace=False)
    api = _optional(50, "Through one API, by code or id.")
    key = _optional(50, "Through one key (key_...).")
    group_by = _optional(500, "user_id, api, key or dimensions of the meter, comma-separated.")
    window = serializers.ChoiceField(WINDOWS, required=False, default=DAY)
    to = _optional(40, "Up to here; left out: now. A date, or an instant with its offset.")
    timezone = _optional(64, "IANA name whose hours, days and months are meant.", default="UTC")

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name in Python."""
        told = "From here on; left out: a day, 30 days or a year before `to`. Whole windows."
        return {**super().get_fields(), "from": _optional(40, told)}


class UsageLine(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    quantity = Amount(help_text="What the meter's aggregation makes of the window.")
    events = serializers.IntegerField(allow_null=True, help_text="null: distinct values.")
    groups = serializers.DictField(child=serializers.CharField(allow_null=True))


class UsageReport(serializers.Serializer[Any]):
    meter = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    aggregation = serializers.CharField()
    window = serializers.ChoiceField(WINDOWS)
    timezone = serializers.CharField()
    to = serializers.DateTimeField()
    data = UsageLine(many=True)  # type: ignore[assignment]  # DRF's own attribute

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class Figures(serializers.Serializer[Any]):
    """With `usage=true`. null: nothing is counted for it; `remaining` also when unlimited."""

    used = Amount(allow_null=True, required=False)
    reserved = Amount(allow_null=True, required=False)
    remaining = Amount(allow_null=True, required=False)
    credits = Amount(allow_null=True, required=False)
    resets_at = serializers.DateTimeField(allow_null=True, required=False)


class UsedEntitlement(EntitlementSerializer, Figures):
    """What may be used of one feature, and with `usage=true` what is left of it."""


class UsedAnswer(AnswerSerializer):
    entitlements = UsedEntitlement(many=True)


class UsedExplanation(ExplanationSerializer):
    usage = Figures(required=False)
