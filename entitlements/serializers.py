"""The shapes in which entitlements, grants and the catalogue are asked for and shown."""

from datetime import UTC, datetime

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from entitlements.models import Enforcement, FeatureKind, Grant, GrantSource, Reset
from entitlements.resolve import Entitlement
from entitlements.selectors import FeatureExplained

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
MAX_LIMIT = 2**63 - 1
REASONS = ["granted", "denied", "none_included"]


class UserQuery(serializers.Serializer):
    """Whose entitlements; the key fixes the project, so naming it is a check only."""

    user_id = serializers.CharField(
        max_length=255, trim_whitespace=False, help_text="The app's own id, or ours (con_...)."
    )
    project_id = serializers.CharField(
        max_length=100, required=False, help_text="Number, slug or public id."
    )


class AnswerQuery(UserQuery):
    explain = serializers.BooleanField(default=False, help_text="Also say why.")


class ExplainQuery(UserQuery):
    feature_code = serializers.CharField(max_length=50)


class EntitlementSerializer(serializers.Serializer):
    """What may be used of one feature."""

    feature_code = serializers.CharField()
    active = serializers.BooleanField()
    source = serializers.ChoiceField(GrantSource.choices)  # type: ignore[assignment]
    source_id = serializers.CharField(help_text="The subscription, payment or staff grant.")
    valid_from = serializers.DateTimeField()
    valid_to = serializers.DateTimeField(allow_null=True, help_text="null: no end.")
    kind = serializers.ChoiceField(FeatureKind.choices)
    value = serializers.JSONField(
        allow_null=True, help_text="true or false, the limit, or the config value."
    )
    limit = serializers.IntegerField(
        allow_null=True, help_text="Of kind limit only. null: unlimited, 0: none."
    )
    plan = serializers.CharField(allow_null=True)
    reset = serializers.ChoiceField(Reset.choices, allow_null=True)
    enforcement = serializers.ChoiceField(Enforcement.choices, allow_null=True)
    reason = serializers.ChoiceField(REASONS)


class PlanHeldSerializer(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    rank = serializers.IntegerField()
    source = serializers.ChoiceField(GrantSource.choices)  # type: ignore[assignment]
    source_id = serializers.CharField()
    valid_from = serializers.DateTimeField()
    valid_to = serializers.DateTimeField(allow_null=True)


class OfferSerializer(serializers.Serializer):
    """One grant and what it gives of the feature."""

    grant_id = serializers.CharField(source="grant.grant_id")
    source = serializers.CharField(source="grant.source")  # type: ignore[assignment]
    source_id = serializers.CharField(source="grant.source_ref")
    plan = serializers.CharField(allow_null=True)
    limit = serializers.IntegerField(source="feature.limit", allow_null=True)
    valid_from = serializers.DateTimeField(source="grant.valid_from")
    valid_to = serializers.DateTimeField(source="grant.valid_to", allow_null=True)


class LoserSerializer(OfferSerializer):
    grant_id = serializers.CharField(source="offer.grant.grant_id")
    source = serializers.CharField(source="offer.grant.source")
    source_id = serializers.CharField(source="offer.grant.source_ref")
    plan = serializers.CharField(source="offer.plan", allow_null=True)
    limit = serializers.IntegerField(source="offer.feature.limit", allow_null=True)
    valid_from = serializers.DateTimeField(source="offer.grant.valid_from")
    valid_to = serializers.DateTimeField(source="offer.grant.valid_to", allow_null=True)
    why = serializers.ChoiceField(["revoked", "ended", "not_started", "denied", "less_generous"])
    detail = serializers.CharField()


class DenialSerializer(serializers.Serializer):
    grant_id = serializers.CharField()
    valid_from = serializers.DateTimeField()
    valid_to = serializers.DateTimeField(allow_null=True)


class ChangeSerializer(serializers.Serializer):
    """What the feature becomes at an instant to come. entitlement null: it is gone."""

    at = serializers.DateTimeField()
    entitlement = EntitlementSerializer(allow_null=True)


class ExplanationSerializer(serializers.Serializer):
    feature_code = serializers.CharField(source="explanation.feature_code")
    entitlement = EntitlementSerializer(source="explanation.entitlement", allow_null=True)
    winner = OfferSerializer(source="explanation.winner", allow_null=True)
    denied_by = DenialSerializer(source="explanation.denial", allow_null=True)
    losers = LoserSerializer(source="explanation.losers", many=True)
    since = serializers.SerializerMethodField()
    until = serializers.SerializerMethodField()
    changes = ChangeSerializer(source="explanation.changes", many=True)
    sold_in = serializers.ListField(
        child=serializers.CharField(), help_text="Public plans that contain the feature."
    )

    def get_since(self, explained: FeatureExplained) -> datetime | None:
        entitlement: Entitlement | None = explained.explanation.entitlement
        return entitlement.valid_from if entitlement else None

    def get_until(self, explained: FeatureExplained) -> datetime | None:
        changes = explained.explanation.changes
        return changes[0].at if changes else None


class AnswerSerializer(serializers.Serializer):
    """Everything that a user may use now."""

    user_id = serializers.CharField()
    consumer_id = serializers.CharField(allow_null=True, help_text="null: not known yet.")
    project_id = serializers.IntegerField()
    version = serializers.IntegerField(help_text="Grows with every change, never falls.")
    plan = serializers.CharField(allow_null=True, help_text="Code of the highest plan held.")
    plans = PlanHeldSerializer(many=True)
    entitlements = EntitlementSerializer(many=True)
    changes_at = serializers.DateTimeField(
        allow_null=True, help_text="When the answer changes by itself. null: never."
    )
    explain = ExplanationSerializer(many=True, required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "labs, for a time",
            value={
                "user_id": "user_42",
                "feature_code": "labs",
                "granted_by": "support@spacehq",
                "reason": "VIP pilot",
                "valid_to": "2036-01-01T00:00:00Z",
            },
            request_only=True,
        )
    ]
)
class GrantRequest(UserQuery):
    feature_code = serializers.CharField(max_length=50, required=False)
    plan_code = serializers.CharField(max_length=50, required=False)
    limit = serializers.IntegerField(
        min_value=0, max_value=MAX_LIMIT, required=False, allow_null=True
    )
    config = serializers.JSONField(required=False)
    granted_by = serializers.CharField(max_length=255)
    reason = serializers.CharField(max_length=2000)
    ticket = serializers.CharField(
        max_length=100, required=False, allow_blank=True, help_text="Where it was asked for."
    )
    valid_from = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Left out: from now on."
    )
    valid_to = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Left out: no end."
    )

    def validate_valid_from(self, instant: datetime | None) -> datetime | None:
        return _after_1970(instant)

    def validate_valid_to(self, instant: datetime | None) -> datetime | None:
        return _after_1970(instant)

    def validate(self, attrs: dict) -> dict:
        if ("feature_code" in attrs) == ("plan_code" in attrs):
            raise serializers.ValidationError(
                {"feature_code": "Send either feature_code or plan_code."}
            )
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "labs",
            value={
                "user_id": "user_42",
                "feature_code": "labs",
                "revoked_by": "support@spacehq",
                "reason": "The pilot is over",
            },
            request_only=True,
        )
    ]
)
class RevokeRequest(UserQuery):
    feature_code = serializers.CharField(max_length=50)
    revoked_by = serializers.CharField(max_length=255)
    reason = serializers.CharField(max_length=2000)


class GrantSerializer(serializers.ModelSerializer):
    """A grant as recorded; `active` says whether it is in force now."""

    grant_id = serializers.CharField(source="public_id")
    user_id = serializers.CharField(source="consumer.external_id")
    consumer_id = serializers.CharField(source="consumer.public_id")
    feature_code = serializers.CharField(source="feature.code", allow_null=True, default=None)
    plan_code = serializers.CharField(source="plan.code", allow_null=True, default=None)
    active = serializers.SerializerMethodField()
    source_id = serializers.CharField(source="source_ref")
    warning = serializers.SerializerMethodField(help_text="null: none.")
    consumer_created = serializers.SerializerMethodField(
        help_text="true: nobody had heard of this user before. Check user_id for a typing error."
    )

    class Meta:
        model = Grant
        fields = [
            "grant_id",
            "user_id",
            "consumer_id",
            "project_id",
            "feature_code",
            "plan_code",
            "active",
            "limit",
            "config",
            "source",
            "source_id",
            "valid_from",
            "valid_to",
            "granted_by",
            "reason",
            "ticket",
            "created_at",
            "warning",
            "consumer_created",
        ]
        read_only_fields = fields

    def get_active(self, grant: Grant) -> bool:
        ends = grant.valid_to
        at = self.context["at"]
        return grant.revoked_at is None and grant.valid_from <= at and (ends is None or at < ends)

    def get_consumer_created(self, grant: Grant) -> bool:
        return bool(self.context.get("consumer_created"))

    def get_warning(self, grant: Grant) -> str | None:
        if grant.valid_to is None or grant.valid_to > self.context["at"]:
            return None
        return "valid_to has passed: the grant is recorded as already ended and opens nothing."


class RevocationSerializer(serializers.Serializer):
    """What a revocation did. changed false: nothing opened the feature."""

    user_id = serializers.CharField()
    project_id = serializers.IntegerField()
    feature_code = serializers.CharField()
    changed = serializers.BooleanField()
    active = serializers.BooleanField(help_text="Whether the feature is still open; false.")
    ended = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of the staff grants that ended."
    )
    denial = serializers.CharField(
        allow_null=True, help_text="Id of the denial that beats what plans have opened."
    )


class FeatureSerializer(serializers.Serializer):
    feature_id = serializers.CharField(source="public_id")
    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(FeatureKind.choices)


class PlanFeatureSerializer(serializers.Serializer):
    feature_code = serializers.CharField(source="feature.code")
    kind = serializers.ChoiceField(FeatureKind.choices, source="feature.kind")
    limit = serializers.IntegerField(allow_null=True)
    config = serializers.JSONField(allow_null=True)
    reset = serializers.ChoiceField(Reset.choices)
    enforcement = serializers.ChoiceField(Enforcement.choices)


class PlanSerializer(serializers.Serializer):
    plan_id = serializers.CharField(source="public_id")
    code = serializers.CharField()
    name = serializers.CharField()
    rank = serializers.IntegerField()
    api = serializers.CharField(source="api.code", allow_null=True, default=None)
    limit_per_minute = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")
    features = PlanFeatureSerializer(source="plan_features", many=True)


class FeaturePage(serializers.Serializer):
    data = FeatureSerializer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class PlanPage(serializers.Serializer):
    data = PlanSerializer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


def _after_1970(instant: datetime | None) -> datetime | None:
    if instant is not None and instant <= EARLIEST:
        raise serializers.ValidationError("Send an instant after 1970.")
    return instant
