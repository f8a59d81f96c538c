"""What is on sale, in which currencies, and what a user would pay."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import currencies
from billing.api.offered import country_of
from billing.api.subscription_shapes import Fields, PriceShown
from billing.models import Price
from billing.on_sale import on_sale, prices_by_plan
from billing.overrides import price_for
from billing.subscription_told import price_told
from config.errors import DomainError, InvalidInput
from keystore.authentication import KEY_OR_TOKEN, asker_of, consumer_meant
from keystore.callers import EndUser
from keystore.models import Consumer
from keystore.permissions import own_or_scope
from keystore.serializers import Problem

ASKED = [
    OpenApiParameter("plan", str, description="Of one plan."),
    OpenApiParameter("currency", str, description="As it would be sent with the purchase."),
    OpenApiParameter("user_id", str, description="Who would buy; a user's token needs none."),
]


class OfferedPriceShown(PriceShown):
    tax_behavior = serializers.CharField(
        allow_null=True, help_text="inclusive, exclusive; null: as the Stripe account says."
    )
    trial_days = serializers.IntegerField()


class PlanPricesShown(Fields):
    plan = serializers.CharField()
    name = serializers.CharField()
    currencies = serializers.ListField(child=serializers.CharField())
    prices = OfferedPriceShown(many=True, help_text="All on sale.")
    yours = OfferedPriceShown(allow_null=True, help_text="What this buyer would get; see problem.")
    problem = serializers.CharField(allow_null=True, help_text="Why there is none for them.")


class PricesShown(Fields):
    currency = serializers.CharField(allow_null=True, help_text="That counts for this buyer.")
    currency_from = serializers.CharField(
        allow_null=True, help_text="subscription, asked, customer, country or project"
    )
    currency_fixed = serializers.BooleanField(help_text="true: Stripe takes no other one.")
    data = PlanPricesShown(many=True)  # type: ignore[assignment]  # DRF's own attribute


class PricesView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("entitlements:read")]

    @extend_schema(
        operation_id="prices_list",
        summary="Prices on sale",
        parameters=ASKED,
        responses={200: PricesShown, 400: Problem, 409: Problem},
    )
    def get(self, request: Request) -> Response:
        """Every public plan with its prices in all currencies, and the one that this buyer would
        get.
        """
        asker, asked = asker_of(request), request.query_params
        user_id = asked.get("user_id", "")
        is_known = user_id or isinstance(asker, EndUser)
        consumer = consumer_meant(request, user_id) if is_known else None
        wanted = currencies.currency_of(
            project=asker.project,
            consumer=consumer,
            asked=_currency(asked.get("currency", "")),
            country=country_of(request),
        )
        rows = on_sale(asker.project).filter(plan__public=True)
        if plan := asked.get("plan", "").replace("\x00", ""):
            rows = rows.filter(plan__code=plan)
        first = wanted[0] if wanted else None
        told = {
            "currency": first.code if first else None,
            "currency_from": first.why if first else None,
            "currency_fixed": bool(first and first.why == "subscription"),
            "data": [_plan(found, wanted, consumer) for found in prices_by_plan(rows)],
        }
        return Response(PricesShown(told).data)


def _currency(given: str) -> str:
    asked = given.strip().lower()
    if asked and not (len(asked) == 3 and asked.isascii() and asked.isalpha()):
        raise InvalidInput("A currency has three letters, such as eur.")
    return asked


def _plan(
    rows: list[Price], wanted: list[currencies.Currency], consumer: Consumer | None
) -> dict[str, Any]:
    yours, problem = None, None
    try:
        yours = currencies.pick(rows, wanted)
    except DomainError as refusal:
        problem = refusal.message
    if yours is not None and consumer is not None:
        yours = price_for(consumer=consumer, price=yours)
    return {
        "plan": rows[0].plan.code,
        "name": rows[0].plan.name or rows[0].plan.code,
        "currencies": list(dict.fromkeys(row.currency for row in rows)),
        "prices": [_price(row) for row in rows],
        "yours": _price(yours) if yours else None,
        "problem": problem,
    }


def _price(row: Price) -> dict[str, Any]:
    told = price_told(row) or {}
    return {**told, "tax_behavior": row.tax_behavior or None, "trial_days": row.trial_days}
