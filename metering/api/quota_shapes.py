"""The shapes in which quotas, reservations and credits are asked for and shown."""

from datetime import datetime
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from entitlements.models import Enforcement, Reset
from metering.amounts import shown
from metering.credits import MOST, USUAL_PRIORITY
from metering.models import CreditPack, CreditSource, Reservation, ReservationState
from metering.reservations import LONGEST, USUAL_SECONDS
from metering.selectors import QuotaShown


class Amount(serializers.DecimalField):
    """A quantity of usage: in, at most 12 places; out, a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=38, decimal_places=12, **options)

    def to_representation(self, value: Any) -> Any:
        return shown(value)


class AmountShape(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Other decimals are texts in the schema: clients made from it would read no amount."""

    target_class = Amount

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        if direction == "response":
            return {"type": "number", "format": "double"}
        return {"type": ["string", "number"]}


class UserAsked(serializers.Serializer[Any]):
    user_id = serializers.CharField(
        max_length=255, trim_whitespace=False, help_text="The app's own id, or ours (con_...)."
    )


class QuotaQuery(UserAsked):
    meter = serializers.CharField(
        max_length=50, required=False, default="", help_text="A meter's code; left out: all."
    )


class QuotaLine(serializers.Serializer[Any]):
    """What is left of one limit."""

    meter = serializers.CharField(source="meter.code")
    feature_code = serializers.CharField(source="meter.feature.code")
    limit = Amount(source="left.limit", allow_null=True, help_text="null: unlimited, 0: none.")
    used = Amount(source="left.used", help_text="Credits and overage included.")
    reserved = Amount(source="left.reserved")
    remaining = Amount(
        source="left.remaining", allow_null=True, help_text="Of the limit; without credits."
    )
    credits = Amount(source="left.credits", help_text="Units that pay beyond the limit.")
    overage = Amount(source="left.overage", help_text="Used beyond limit and credits.")
    period_start = serializers.DateTimeField(source="period.start")
    period_end = serializers.DateTimeField(source="period.end", allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True, help_text="null: never.")
    reset = serializers.ChoiceField(Reset.choices, source="terms.reset")
    enforcement = serializers.ChoiceField(Enforcement.choices)
    unlimited = serializers.SerializerMethodField()

    def get_unlimited(self, quota: QuotaShown) -> bool:
        return quota.terms.limit is None


class QuotasShown(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    quotas = QuotaLine(many=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "for a long answer",
            value={"user_id": "user_42", "meter": "tokens", "quantity": 4000, "ttl_seconds": 120},
            request_only=True,
        )
    ]
)
class ReserveRequest(UserAsked):
    meter = serializers.CharField(max_length=50, help_text="A meter's code.")
    quantity = Amount(min_value=0, max_value=MOST)
    ttl_seconds = serializers.IntegerField(
        min_value=1,
        max_value=int(LONGEST.total_seconds()),
        required=False,
        default=USUAL_SECONDS,
        help_text="After so many seconds it is free again.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("less than that", value={"quantity": 3120}, request_only=True)]
)
class SettleRequest(serializers.Serializer[Any]):
    quantity = Amount(
        min_value=0,
        max_value=MOST,
        required=False,
        allow_null=True,
        default=None,
        help_text="What was used; left out: all that was kept back.",
    )


@extend_schema_serializer(examples=[OpenApiExample("nothing", value={}, request_only=True)])
class NothingAsked(serializers.Serializer[Any]):
    """No field is needed."""


class ReservationShown(serializers.ModelSerializer[Reservation]):
    id = serializers.CharField(source="public_id")
    user_id = serializers.CharField(source="balance.consumer.external_id")
    meter = serializers.CharField(source="balance.meter.code")
    quantity = Amount()
    from_credits = Amount()
    settled_quantity = Amount(allow_null=True, help_text="null: not settled.")
    state = serializers.ChoiceField(ReservationState.choices)
    event = serializers.UUIDField(allow_null=True, help_text="The use that settled it.")

    class Meta:
        model = Reservation
        fields = [
            "id",
            "user_id",
            "meter",
            "quantity",
            "from_credits",
            "settled_quantity",
            "state",
            "event",
            "expires_at",
            "created_at",
            "ended_at",
        ]
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a bought pack",
            value={
                "user_id": "user_42",
                "meter": "tokens",
                "amount": 100000,
                "source": "purchase",
                "source_ref": "pi_123",
                "reason": "Pack of 100,000 tokens",
            },
            request_only=True,
        )
    ]
)
class GiveCreditsRequest(UserAsked):
    meter = serializers.CharField(max_length=50, help_text="A meter's code.")
    amount = Amount(min_value=0, max_value=MOST)
    priority = serializers.IntegerField(
        min_value=1,
        max_value=255,
        required=False,
        default=USUAL_PRIORITY,
        help_text="1 burns first, 255 last.",
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="null: never."
    )
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF's own attribute
        CreditSource.choices, required=False, default=CreditSource.STAFF
    )
    source_ref = serializers.CharField(
        max_length=255, required=False, allow_blank=True, default="", help_text="A payment's id."
    )
    reason = serializers.CharField(max_length=2000)


@extend_schema_serializer(
    examples=[OpenApiExample("why", value={"reason": "Charged back"}, request_only=True)]
)
class RevokeCreditsRequest(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000)


class PackShown(serializers.ModelSerializer[CreditPack]):
    id = serializers.CharField(source="public_id")
    user_id = serializers.CharField(source="consumer.external_id")
    meter = serializers.CharField(source="meter.code")
    amount = Amount()
    remaining = Amount()
    expired = serializers.SerializerMethodField()

    class Meta:
        model = CreditPack
        fields = [
            "id",
            "user_id",
            "meter",
            "amount",
            "remaining",
            "priority",
            "expires_at",
            "expired",
            "revoked_at",
            "source",
            "source_ref",
            "reason",
            "created_at",
        ]
        read_only_fields = fields

    def get_expired(self, pack: CreditPack) -> bool:
        at: datetime = self.context["at"]
        return pack.expires_at is not None and pack.expires_at <= at


class PackPage(serializers.Serializer[Any]):
    data = PackShown(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()
