"""What the endpoints of subscriptions accept and answer."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.serializers import USER_ID_LENGTH, code_field, currency_field

LATEST = 2**33
MOST = 10_000
Fields = serializers.Serializer[Any]


def example(name: str, /, **value: object) -> Any:
    shown = OpenApiExample(name, value=value, request_only=True)
    return extend_schema_serializer(examples=[shown])


def _plan() -> serializers.CharField:
    return serializers.CharField(max_length=50, required=False, default="")


def _price_id() -> serializers.CharField:
    return serializers.CharField(max_length=255, required=False, default="")


def _quantity(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MOST, **options)


@example("on request", reason="Asked by the buyer")
class ActRequest(Fields):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")


@example("with its period", at_period_end=True, reason="Asked by the buyer")
class CancelRequest(ActRequest):
    at_period_end = serializers.BooleanField(default=True, help_text="false: it ends now.")


@example("for the summer", resumes_at="2027-09-01T00:00:00Z")
class PauseRequest(ActRequest):
    resumes_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="It goes on by itself then; null: when it is resumed.",
    )


@example("an upgrade", plan="team", prorate=True)
class PreviewRequest(Fields):
    plan = _plan()
    price_id = _price_id()
    promotion_code = code_field()
    quantity = _quantity(required=False, allow_null=True, default=None)
    prorate = serializers.BooleanField(default=True, help_text="Settle the rest of the period now.")
    resume = serializers.BooleanField(default=False, help_text="Price going on after a pause.")
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        is_change = bool(asked["plan"] or asked["price_id"] or asked["quantity"])
        if is_change == asked["resume"]:
            raise serializers.ValidationError(
                "Name a plan, a price_id or a quantity, or say resume."
            )
        return asked


@example("as previewed", priced_at=1_790_000_000, due_now_minor=0)
class SeenRequest(ActRequest):
    priced_at = serializers.IntegerField(
        min_value=1, max_value=LATEST, help_text="As the preview told it."
    )
    due_now_minor = serializers.IntegerField(help_text="As the preview told it.")


class MaybeSeenRequest(ActRequest):
    """Without a preview it is priced now, and charged at that."""

    priced_at = serializers.IntegerField(
        min_value=1,
        max_value=LATEST,
        required=False,
        help_text="As the preview told it; left out: what it costs now is charged.",
    )
    due_now_minor = serializers.IntegerField(required=False, help_text="As the preview told it.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if ("priced_at" in asked) != ("due_now_minor" in asked):
            raise serializers.ValidationError(
                "Send both priced_at and due_now_minor of the preview, or neither."
            )
        return asked


@example("an upgrade", plan="team", priced_at=1_790_000_000, due_now_minor=1750)
class ChangeRequest(SeenRequest):
    plan = _plan()
    price_id = _price_id()
    promotion_code = code_field()
    prorate = serializers.BooleanField(default=True)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        return require_plan(asked)


def require_plan(asked: dict[str, Any]) -> dict[str, Any]:
    if not (asked["plan"] or asked["price_id"]):
        raise serializers.ValidationError("Name a plan or a price_id.")
    return asked


@example("to a larger plan", plan="team")
class UpgradeRequest(MaybeSeenRequest):
    plan = _plan()
    price_id = _price_id()
    promotion_code = code_field()
    prorate = serializers.BooleanField(default=True, help_text="Settle the rest of the period now.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        return require_plan(super().validate(asked))


@example("five seats", quantity=5)
class QuantityRequest(MaybeSeenRequest):
    quantity = _quantity()
    prorate = serializers.BooleanField(default=True, help_text="Settle the rest of the period now.")


@example("with the next period", plan="basic")
class ScheduleRequest(ActRequest):
    plan = _plan()
    price_id = _price_id()
    quantity = _quantity(required=False, allow_null=True, default=None)
    at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The rest of the period is settled then; null: with the next period.",
    )

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        return require_plan(asked)


@example("on Stripe's page", user_id="user_42", plan="pro", success_url="https://app.local/thanks")
class SubscribeRequest(Fields):
    user_id = serializers.CharField(
        max_length=USER_ID_LENGTH, required=False, default="", help_text="A user's token needs none"
    )
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    plan = _plan()
    price_id = _price_id()
    quantity = _quantity(default=1)
    payment_method = serializers.CharField(
        max_length=255,
        required=False,
        default="",
        allow_blank=True,
        help_text="A saved one (pm_...) or `default`: charged at once, without a page.",
    )
    success_url = serializers.CharField(required=False, allow_blank=True, default="")
    cancel_url = serializers.CharField(required=False, allow_blank=True, default="")
    customer_email = serializers.EmailField(required=False, allow_blank=True, default="")
    currency = currency_field()
    promotion_code = code_field()

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if bool(asked["plan"]) == bool(asked["price_id"]):
            raise serializers.ValidationError(
                {"plan": "Name what is bought: either plan or price_id."}
            )
        return asked


# --- Answers ---------------------------------------------------------------------------------


class LineShown(Fields):
    description = serializers.CharField()
    amount_minor = serializers.IntegerField()


class TaxLineShown(Fields):
    name = serializers.CharField(allow_null=True, help_text="VAT, GST, Sales Tax; null: unknown.")
    percentage = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True)
    amount_minor = serializers.IntegerField()
    inclusive = serializers.BooleanField(help_text="In the prices; else added to them.")
    reason = serializers.CharField(help_text="standard_rated, reverse_charge, zero_rated, ...")


class SumsShown(Fields):
    currency = serializers.CharField()
    subtotal_minor = serializers.IntegerField(help_text="Before discounts and added tax.")
    discount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField()
    total_minor = serializers.IntegerField()
    taxes = TaxLineShown(many=True)


class PreviewShown(Fields):
    priced_at = serializers.IntegerField(help_text="Send it back with the change, in 30 minutes.")
    due_now_minor = serializers.IntegerField(help_text="Below 0: credited to the balance.")
    currency = serializers.CharField()
    lines = LineShown(many=True)
    next_minor = serializers.IntegerField(allow_null=True, help_text="null: it does not renew.")
    next_at = serializers.DateTimeField(allow_null=True)
    sums = SumsShown(allow_null=True, help_text="Of now; null: nothing is billed now.")
    next_sums = SumsShown(allow_null=True, help_text="Of the next regular invoice.")


class PriceShown(Fields):
    id = serializers.CharField()
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    interval = serializers.CharField(allow_null=True)
    interval_count = serializers.IntegerField()
    metered = serializers.BooleanField()
    own = serializers.BooleanField(help_text="true: agreed with this user.")


class ItemShown(Fields):
    price_id = serializers.CharField()
    quantity = serializers.IntegerField()
    price = PriceShown(allow_null=True)


class ChargeShown(Fields):
    at = serializers.DateTimeField()
    amount_minor = serializers.IntegerField(help_text="What is charged, credit taken off.")
    currency = serializers.CharField()
    subtotal_minor = serializers.IntegerField(help_text="Before discounts and added tax.")
    discount_minor = serializers.IntegerField()
    tax_minor = serializers.IntegerField(help_text="In the prices, or added to them.")
    total_minor = serializers.IntegerField()
    exact = serializers.BooleanField(
        help_text="false: usage, or the tax and discounts of a change to come, are not in it."
    )


class DiscountShown(Fields):
    id = serializers.CharField(help_text="Stripe's di_...")
    coupon = serializers.CharField(help_text="Its code in the catalogue, else Stripe's id.")
    name = serializers.CharField()
    code = serializers.CharField(allow_null=True, help_text="null: given by staff.")
    percent_off = serializers.CharField(allow_null=True)
    amount_off_minor = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField(help_text="Of the amount.")
    duration = serializers.CharField(help_text="once, repeating or forever")
    ends_at = serializers.CharField(allow_null=True)


class StepShown(Fields):
    code = serializers.CharField(
        help_text="renews, trial_ends, changes, ends, ended, pay, paused, resumes"
    )
    at = serializers.DateTimeField(allow_null=True)
    text = serializers.CharField()


class ScheduleShown(Fields):
    id = serializers.CharField(help_text="sch_...")
    kind = serializers.CharField(help_text="change, or resume after a pause")
    plan = serializers.CharField(allow_null=True)
    price = PriceShown(allow_null=True)
    quantity = serializers.IntegerField(allow_null=True)
    at_period_end = serializers.BooleanField()
    at = serializers.DateTimeField()
    state = serializers.CharField(help_text="waiting, sent, done, failed or withdrawn")
    problem = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class SubscriptionShown(Fields):
    id = serializers.CharField(help_text="Stripe's sub_...")
    consumer_id = serializers.CharField()
    user_id = serializers.CharField()
    project_id = serializers.IntegerField()
    plan = serializers.CharField(allow_null=True)
    api = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    price = PriceShown(allow_null=True)
    quantity = serializers.IntegerField()
    items = ItemShown(many=True)
    currency = serializers.CharField()
    current_period_start = serializers.DateTimeField(allow_null=True)
    current_period_end = serializers.DateTimeField(allow_null=True)
    cancel_at = serializers.DateTimeField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    canceled_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    trial_end = serializers.DateTimeField(allow_null=True)
    paused = serializers.BooleanField()
    paused_until = serializers.DateTimeField(allow_null=True)
    discounts = DiscountShown(many=True)
    taxed = serializers.BooleanField(help_text="Stripe Tax counts its tax.")
    next_charge = ChargeShown(allow_null=True)
    scheduled_change = ScheduleShown(allow_null=True)
    next = StepShown()
    created_at = serializers.DateTimeField()


class ActShown(SubscriptionShown):
    done = serializers.BooleanField(help_text="false: Stripe has not answered yet; ask again.")
    message = serializers.CharField()


class SubscriptionList(Fields):
    data = SubscriptionShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class ScheduleList(Fields):
    data = ScheduleShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class NextStepShown(Fields):
    code = serializers.CharField(
        help_text="pay_at_checkout, confirm_payment, pay_otherwise, confirm_card, wait, none"
    )
    message = serializers.CharField()


class SubscribedShown(Fields):
    id = serializers.CharField(allow_null=True, help_text="sub_..., once it is made")
    checkout_id = serializers.CharField(help_text="chk_...: ask or claim the key with it")
    state = serializers.CharField(help_text="Of the checkout: pending, open, complete, ...")
    status = serializers.CharField(allow_null=True, help_text="Of the subscription")
    user_id = serializers.CharField()
    project_id = serializers.IntegerField()
    plan = serializers.CharField()
    price_id = serializers.CharField()
    currency = serializers.CharField()
    promotion_code = serializers.CharField(allow_null=True)
    trial_days = serializers.IntegerField()
    url = serializers.CharField(allow_null=True)
    checkout_url = serializers.CharField(allow_null=True)
    client_secret = serializers.CharField(allow_null=True, help_text="For Stripe.js.")
    confirmation_url = serializers.CharField(allow_null=True)
    next_step = NextStepShown()
    subscription = SubscriptionShown(allow_null=True)


class MeterUsageShown(Fields):
    meter = serializers.CharField()
    name = serializers.CharField()
    unit = serializers.CharField()
    used = serializers.FloatField()
    limit = serializers.FloatField(allow_null=True, help_text="null: unlimited, or no limit.")
    remaining = serializers.FloatField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)
    cost_minor = serializers.IntegerField(allow_null=True, help_text="null: not billed by use.")


class SubscriptionUsageShown(Fields):
    subscription_id = serializers.CharField()
    user_id = serializers.CharField()
    plan = serializers.CharField(allow_null=True)
    period_start = serializers.DateTimeField(allow_null=True)
    period_end = serializers.DateTimeField(allow_null=True)
    currency = serializers.CharField()
    cost_minor = serializers.IntegerField(help_text="So far, before tax and discounts.")
    meters = MeterUsageShown(many=True)
