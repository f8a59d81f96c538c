"""What the pages of a user's own billing accept and answer."""

from typing import Any

from rest_framework import serializers

from billing.api.subscription_shapes import Fields, SubscriptionShown, example
from billing.models import CheckoutMode
from billing.serializers import USER_ID_LENGTH, code_field, currency_field
from metering.api.quota_shapes import Amount


@example("an upgrade", user_id="user_42", plan="pro", success_url="https://app.local/success")
class OwnCheckoutRequest(Fields):
    user_id = serializers.CharField(
        max_length=USER_ID_LENGTH, required=False, default="", help_text="A token needs none."
    )
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    price_id = serializers.CharField(max_length=255, required=False, default="")
    plan = serializers.CharField(max_length=50, required=False, default="")
    mode = serializers.ChoiceField(
        choices=CheckoutMode.choices, default=CheckoutMode.SUBSCRIPTION.value
    )
    quantity = serializers.IntegerField(min_value=1, max_value=10_000, default=1)
    success_url = serializers.CharField(required=False, allow_blank=True, default="")
    cancel_url = serializers.CharField(required=False, allow_blank=True, default="")
    customer_email = serializers.EmailField(required=False, allow_blank=True, default="")
    currency = currency_field()
    promotion_code = code_field()

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if bool(asked["price_id"]) == bool(asked["plan"]):
            raise serializers.ValidationError(
                {"price_id": "Name what is bought: either price_id or plan."}
            )
        return asked


@example("to the portal", user_id="user_42", return_url="https://app.local/account")
class OwnPortalRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH, required=False, default="")
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    return_url = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="Default: the project's first page."
    )


class OwnSubscription(Fields):
    user_id = serializers.CharField()
    status = serializers.CharField(help_text="Stripe's word, or none.")
    plan = serializers.CharField(allow_null=True)
    current_period_end = serializers.DateTimeField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    subscription = SubscriptionShown(allow_null=True)


class OwnQuota(Fields):
    """004 wrote 0 for unlimited; here that is null, and 0 allows nothing."""

    user_id = serializers.CharField()
    plan = serializers.CharField(allow_null=True)
    limits = serializers.DictField(
        child=Amount(allow_null=True),
        help_text="By meter (tokens, api_calls, scraping_tasks ...); null: unlimited.",
    )
    resets_at = serializers.DateTimeField(allow_null=True)


class OwnUsageLine(Fields):
    meter = serializers.CharField()
    used = Amount()
    limit = Amount(allow_null=True, help_text="null: unlimited.")
    remaining = Amount(allow_null=True)
    percent = serializers.FloatField(allow_null=True, help_text="Of the limit; null: unlimited.")
    resets_at = serializers.DateTimeField(allow_null=True)


class OwnUsage(Fields):
    user_id = serializers.CharField()
    plan = serializers.CharField(allow_null=True)
    period_start = serializers.DateTimeField(allow_null=True)
    period_end = serializers.DateTimeField(allow_null=True)
    usage = serializers.DictField(child=Amount(), help_text="Used, by meter.")
    meters = OwnUsageLine(many=True)


class UserShown(Fields):
    user_id = serializers.CharField()
    consumer_id = serializers.CharField()
    email = serializers.CharField()
    created_at = serializers.DateTimeField()
    status = serializers.CharField(help_text="Of the newest subscription, or none.")
    plan = serializers.CharField(allow_null=True)
    subscription_id = serializers.CharField(allow_null=True)
    current_period_end = serializers.DateTimeField(allow_null=True)
    usage = OwnUsageLine(many=True)


class UserList(Fields):
    data = UserShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()
