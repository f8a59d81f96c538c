"""What billing's endpoints accept and answer."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.models import CheckoutMode

USER_ID_LENGTH = 255
LONGEST_CODE = 50


def currency_field() -> serializers.RegexField:
    return serializers.RegexField(
        r"\A[a-zA-Z]{3}\Z",
        required=False,
        default="",
        allow_blank=True,
        help_text="Such as eur; left out: that of what runs, else the user's own.",
    )


def code_field() -> serializers.CharField:
    return serializers.CharField(
        max_length=LONGEST_CODE,
        required=False,
        default="",
        allow_blank=True,
        help_text="A promotion code; refused when it cannot be redeemed.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a plan",
            value={"user_id": "user_42", "plan": "pro"},
            request_only=True,
        )
    ]
)
class CheckoutRequest(serializers.Serializer):
    """Who buys what, and where they come back to."""

    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    price_id = serializers.CharField(max_length=255, required=False)
    plan = serializers.SlugField(max_length=50, required=False)
    mode = serializers.ChoiceField(
        choices=CheckoutMode.choices, default=CheckoutMode.SUBSCRIPTION.value
    )
    quantity = serializers.IntegerField(min_value=1, max_value=10_000, default=1)
    success_url = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="Default: Latchkey's own page."
    )
    cancel_url = serializers.CharField(required=False, allow_blank=True, default="")
    customer_email = serializers.EmailField(required=False, allow_blank=True, default="")
    currency = currency_field()
    promotion_code = code_field()

    def validate(self, attrs: dict) -> dict:
        if bool(attrs.get("price_id")) == bool(attrs.get("plan")):
            raise serializers.ValidationError(
                {"price_id": "Name what is bought: either price_id or plan."}
            )
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a plan",
            value={
                "plan": "pro",
                "success_url": "http://localhost/success",
                "cancel_url": "http://localhost/cancel",
            },
            request_only=True,
        )
    ]
)
class PublicCheckoutRequest(serializers.Serializer):
    """The body of the public checkout, which needs no key."""

    plan = serializers.SlugField(max_length=50)
    success_url = serializers.CharField()
    cancel_url = serializers.CharField()
    customer_email = serializers.EmailField(required=False, allow_blank=True, default="")


class CheckoutKeySerializer(serializers.Serializer):
    id = serializers.CharField()
    prefix = serializers.CharField()
    last4 = serializers.CharField()
    claimable = serializers.BooleanField(help_text="True until somebody read the key once.")
    key = serializers.CharField(allow_null=True, help_text="Only in the answer that claims it.")


class CheckoutSerializer(serializers.Serializer):
    id = serializers.CharField(help_text="chk_...")
    session_id = serializers.CharField(allow_null=True, help_text="Stripe's cs_...")
    state = serializers.CharField(help_text="pending, open, complete, expired or failed")
    url = serializers.CharField(allow_null=True)
    checkout_url = serializers.CharField(allow_null=True)
    user_id = serializers.CharField()
    project_id = serializers.IntegerField()
    plan = serializers.CharField()
    price_id = serializers.CharField()
    currency = serializers.CharField()
    promotion_code = serializers.CharField(allow_null=True)
    mode = serializers.CharField()
    subscription_id = serializers.CharField(allow_null=True)
    payment_intent_id = serializers.CharField(allow_null=True)
    problem = serializers.CharField(allow_null=True)
    key = CheckoutKeySerializer(allow_null=True, required=False)


class PublicCheckoutSerializer(serializers.Serializer):
    url = serializers.CharField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a subscriber",
            value={"user_id": "user_42", "return_url": "http://localhost/account"},
            request_only=True,
        )
    ]
)
class PortalRequest(serializers.Serializer):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    project_id = serializers.CharField(required=False)
    return_url = serializers.CharField()


class PortalSerializer(serializers.Serializer):
    id = serializers.CharField()
    url = serializers.CharField()
    portal_url = serializers.CharField()


class EligibilityQuery(serializers.Serializer):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH)
    project_id = serializers.CharField(required=False)


class EligibilitySerializer(serializers.Serializer):
    eligible = serializers.BooleanField()
    reason = serializers.CharField(
        help_text="eligible, unknown_user, no_customer or customer_deleted"
    )
    explanation = serializers.CharField()


class MoneySerializer(serializers.Serializer):
    currency = serializers.CharField()
    amount_minor = serializers.IntegerField()


class SubscriptionMetricsSerializer(serializers.Serializer):
    project_id = serializers.IntegerField()
    active_subscriptions = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_plan = serializers.DictField(child=serializers.IntegerField())
    mrr = MoneySerializer(many=True)


class RevenueQuery(serializers.Serializer):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


class RevenueLineSerializer(serializers.Serializer):
    currency = serializers.CharField()
    payments = serializers.IntegerField()
    gross_minor = serializers.IntegerField()
    refunded_minor = serializers.IntegerField()
    net_minor = serializers.IntegerField(help_text="Gross less refunds; fees are not in it.")
    fees_minor = serializers.IntegerField(help_text="Stripe's, of payments whose fee is known.")
    fees_known = serializers.IntegerField(help_text="Of how many payments the fee is known.")


class RevenueSerializer(serializers.Serializer):
    project_id = serializers.IntegerField()
    revenue = RevenueLineSerializer(many=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "one event",
            value={"event_ids": ["evt_..."], "reason": "The worker was down"},
            request_only=True,
        )
    ]
)
class ReplayRequest(serializers.Serializer):
    event_ids = serializers.ListField(
        child=serializers.CharField(max_length=255), min_length=1, max_length=100
    )
    reason = serializers.CharField(max_length=500)


class ReplayedSerializer(serializers.Serializer):
    event_id = serializers.CharField()
    replayed = serializers.BooleanField()
    problem = serializers.CharField(allow_null=True)


class ReplaySerializer(serializers.Serializer):
    replayed = serializers.IntegerField()
    results = ReplayedSerializer(many=True)
