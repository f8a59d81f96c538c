"""What the marketplace is asked and answers, in JSON."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.market.by_dimension import REASONS
from billing.market.reports import BREAKDOWNS
from billing.models import ApiListing, Creator, OfferKind
from billing.money import refuse_parts
from keystore.models import Api
from metering.api.quota_shapes import Amount

Fields = serializers.Serializer[Any]
LARGEST = 99_999_999  # that Stripe takes for a price
INTERVALS = ("day", "week", "month", "year")


def _example(title: str, /, **value: object) -> Any:
    shown = OpenApiExample(title, value=value, request_only=True)
    return extend_schema_serializer(examples=[shown])


class _Currency(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[a-z]{3}\Z", help_text="ISO 4217, lower-case: usd.", **options)


@_example("a creator", user_id="user_42", country="US", currency="usd")
class CreatorRequest(Fields):
    user_id = serializers.CharField(max_length=255, required=False, default="", allow_blank=True)
    country = serializers.RegexField(r"^[A-Z]{2}\Z", help_text="ISO 3166: US.")
    currency = _Currency()


@_example(
    "a link",
    return_url="https://app.example.com/creator",
    refresh_url="https://app.example.com/creator/again",
)
class OnboardingRequest(Fields):
    return_url = serializers.CharField(max_length=2000)
    refresh_url = serializers.CharField(
        max_length=2000, help_text="Where Stripe sends the holder of a spent link."
    )


class OnboardingShown(Fields):
    url = serializers.CharField()
    expires_at = serializers.DateTimeField()


class BalanceShown(Fields):
    amount_minor = serializers.IntegerField(help_text="Below 0: carried into what comes.")
    currency = serializers.CharField()


class CreatorShown(serializers.Serializer[Creator]):
    id = serializers.CharField(source="public_id")
    user_id = serializers.CharField(source="consumer.external_id")
    country = serializers.CharField()
    currency = serializers.CharField()
    state = serializers.CharField(help_text="new, onboarding, active or disabled.")
    payouts_enabled = serializers.BooleanField()
    payouts_paused = serializers.SerializerMethodField()
    requirements = serializers.ListField(child=serializers.CharField())
    disabled_reason = serializers.CharField(allow_blank=True)
    balances = BalanceShown(many=True)

    def get_payouts_paused(self, creator: Creator) -> bool:
        return creator.payouts_paused_at is not None


class PayoutShown(Fields):
    id = serializers.CharField(source="public_id")
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    state = serializers.CharField()
    period = serializers.CharField(allow_blank=True)
    problem = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class Payouts(Fields):
    data = PayoutShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


@_example("an API", code="weather", name="Weather", description="Forecasts.", published=True)
class ApiRequest(Fields):
    user_id = serializers.CharField(max_length=255, required=False, default="", allow_blank=True)
    code = serializers.SlugField(max_length=50)
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(
        max_length=5000, required=False, default="", allow_blank=True
    )
    published = serializers.BooleanField(default=False)


@_example("publish it", published=True)
class ApiChange(Fields):
    name = serializers.CharField(max_length=200, required=False, default=None)
    description = serializers.CharField(
        max_length=5000, required=False, default=None, allow_blank=True
    )
    published = serializers.BooleanField(required=False, default=None, allow_null=True)


class OfferPriceShown(Fields):
    id = serializers.CharField(source="stripe_price_id")
    kind = serializers.CharField()
    amount_minor = serializers.IntegerField()
    currency = serializers.CharField()
    interval = serializers.CharField(allow_blank=True)


class OfferShown(Fields):
    code = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    prices = OfferPriceShown(many=True, help_text="Empty while Stripe has not answered.")


class OfferPage(Fields):
    data = OfferShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class ApiShown(Fields):
    id = serializers.CharField(source="public_id")
    code = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(source="listing.description")
    creator = serializers.CharField(source="listing.creator.public_id")
    published = serializers.SerializerMethodField()
    plans = serializers.SerializerMethodField()

    def get_published(self, api: Api) -> bool:
        listing: ApiListing = api.listing
        return listing.published_at is not None

    def get_plans(self, api: Api) -> list[dict[str, Any]]:
        return [offer_shown(plan) for plan in api.plans.all()]


def offer_shown(plan: Any) -> dict[str, Any]:
    prices = [price for price in plan.prices.all() if price.active]
    return dict(OfferShown({"code": plan.code, "name": plan.name, "prices": prices}).data)


class ApiPage(Fields):
    data = ApiShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class TierRequest(Fields):
    up_to = serializers.IntegerField(min_value=1, allow_null=True, help_text="null: no end.")
    unit_amount = serializers.DecimalField(max_digits=20, decimal_places=12, min_value=Decimal(0))
    flat_amount = serializers.DecimalField(
        max_digits=20, decimal_places=12, min_value=Decimal(0), default=Decimal(0)
    )


@_example("a subscription", code="weather-pro", name="Pro", kind="subscription", currency="usd",
          amount_minor=1000, interval="month")  # fmt: skip
class OfferRequest(Fields):
    code = serializers.SlugField(max_length=50)
    name = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(OfferKind.choices)
    currency = _Currency()
    amount_minor = serializers.IntegerField(min_value=0, max_value=LARGEST, default=0)
    interval = serializers.ChoiceField(INTERVALS, default="month")
    meter = serializers.CharField(max_length=50, required=False, default="", allow_blank=True)
    unit_amount = serializers.DecimalField(
        max_digits=20, decimal_places=12, min_value=Decimal(0), required=False, default=None
    )
    tiers = TierRequest(many=True, required=False, default=list)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        kind = asked["kind"]
        is_paid = kind in (OfferKind.SUBSCRIPTION, OfferKind.ONE_OFF)
        if is_paid != (asked["amount_minor"] > 0):
            raise _odd("amount_minor", "More than 0 for what is paid in advance, else 0.")
        if (kind == OfferKind.PAY_PER_USE) != bool(asked["unit_amount"]):
            raise _odd("unit_amount", "More than 0 for pay_per_use, else left out.")
        if (kind == OfferKind.TIERS) != bool(asked["tiers"]):
            raise _odd("tiers", "Tiers for the kind tiers, else none.")
        _check_tiers([tier["up_to"] for tier in asked["tiers"]])
        refuse_parts(asked["amount_minor"], asked["currency"])
        return asked


def _check_tiers(bounds: list[int | None]) -> None:
    known = [bound for bound in bounds if bound is not None]
    ends = not bounds or (bounds[-1] is None and len(known) == len(bounds) - 1)
    if not ends or known != sorted(set(known)):
        raise _odd("tiers", "Each reaches further than the one before; the last has up_to null.")


def _odd(field: str, why: str) -> serializers.ValidationError:
    return serializers.ValidationError({field: why})


def _text(most: int, told: str, **options: Any) -> serializers.CharField:
    settings = {"required": False, "default": "", "allow_blank": True, **options}
    return serializers.CharField(max_length=most, help_text=told, **settings)


class ReportQuery(Fields):
    to = _text(40, "Up to here; left out: now. A date, or an instant with its offset.")
    timezone = _text(64, "IANA name whose days are meant.", default="UTC")
    breakdown = serializers.ChoiceField([*BREAKDOWNS, ""], required=False, default="")

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name in Python."""
        told = "From here on; left out: 30 days before `to`. Whole days."
        return {**super().get_fields(), "from": _text(40, told)}


class EarningsQuery(ReportQuery):
    currency = _text(3, "One currency only.")
    dimension = _text(100, "By the values of this dimension of usage instead of a breakdown.")


class ApiUsageQuery(ReportQuery):
    meter = _text(50, "One meter only, by its code.")
    dimension = _text(100, "By the values of this dimension instead of a breakdown.")


class EarningLine(Fields):
    group = serializers.CharField(
        required=False, help_text="Day, plan, consumer or the value of the dimension."
    )
    not_split = serializers.ChoiceField(
        REASONS,
        required=False,
        allow_blank=True,
        help_text="With a dimension: why this row could not be divided; else empty.",
    )
    currency = serializers.CharField()
    sales_minor = serializers.IntegerField()
    taken_back_minor = serializers.IntegerField(help_text="Refunds and disputes; below 0.")
    tax_minor = serializers.IntegerField()
    commission_minor = serializers.IntegerField()
    stripe_fee_minor = serializers.IntegerField()
    net_minor = serializers.IntegerField(help_text="What the creator earned.")


class EarningsShown(Fields):
    api = serializers.CharField()
    timezone = serializers.CharField()
    to = serializers.DateTimeField()
    totals = EarningLine(many=True, help_text="One per currency.")
    data = EarningLine(many=True)  # type: ignore[assignment]  # DRF's own attribute

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class ApiUsageLine(Fields):
    meter = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    group = serializers.CharField(allow_blank=True)
    quantity = Amount()


class ApiUsageShown(Fields):
    api = serializers.CharField()
    timezone = serializers.CharField()
    to = serializers.DateTimeField()
    totals = ApiUsageLine(many=True, help_text="One per meter.")
    data = ApiUsageLine(many=True)  # type: ignore[assignment]  # DRF's own attribute

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField()}
