"""Saved payment methods over HTTP. Card data never comes here."""

import contextlib
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway
from billing.api.subscription_shapes import Fields, example
from billing.cards import Card, CardNotFound
from billing.models import StripeCustomer
from billing.origins import allowed_url
from billing.payment_methods import (
    attach_card,
    begin_setup,
    holder_of,
    list_cards,
    owner_at_stripe,
)
from billing.serializers import USER_ID_LENGTH
from billing.subscription_desk import detach_card, set_default_card
from billing.subscriptions import AlreadySo
from config.clock import now
from keystore.authentication import (
    KEY_OR_TOKEN,
    asker_of,
    consumer_acting,
    consumer_meant,
    project_named,
)
from keystore.callers import EndUser
from keystore.idempotency import IdempotentWrites
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 10.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
WHOSE = OpenApiParameter("user_id", str, description="Whose; a user's token needs none.")


@example("with Stripe.js or Stripe's page", user_id="user_42", return_url="https://app.local/me")
class AddRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH, required=False, default="")
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")
    payment_method_id = serializers.CharField(
        max_length=255,
        required=False,
        default="",
        help_text="pm_... that Stripe.js made: added at once. Left out: a way to add one.",
    )
    default = serializers.BooleanField(default=False, help_text="Pay with it from now on.")
    return_url = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="Where Stripe's page leads back to."
    )


@example("of a user", user_id="user_42")
class WhoseRequest(Fields):
    user_id = serializers.CharField(max_length=USER_ID_LENGTH, required=False, default="")
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    project_id = serializers.CharField(required=False, help_text="Yours; a number, slug or id.")


class CardShown(Fields):
    id = serializers.CharField(source="stripe_id")
    type = serializers.CharField(source="kind")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    exp_month = serializers.IntegerField(allow_null=True)
    exp_year = serializers.IntegerField(allow_null=True)
    is_default = serializers.BooleanField()
    pays_for = serializers.ListField(
        child=serializers.CharField(), help_text="Live subscriptions whose renewal it pays."
    )


class CardList(Fields):
    data = CardShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()
    live = serializers.BooleanField(help_text="false: Stripe does not answer; as last seen.")


class SetupShown(Fields):
    id = serializers.CharField(source="setup_intent_id", help_text="seti_...")
    client_secret = serializers.CharField(help_text="For Stripe.js (confirmSetup).")
    url = serializers.CharField(help_text="Stripe's own page for it, good for minutes.")


class CardGone(Fields):
    id = serializers.CharField()
    deleted = serializers.BooleanField()
    message = serializers.CharField()


class PaymentMethodsView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        return [own_or_scope(f"payment-methods:{'read' if reads else 'write'}")()]

    @extend_schema(
        operation_id="payment_methods_list",
        summary="Saved payment methods",
        parameters=[WHOSE],
        responses={200: CardList},
    )
    def get(self, request: Request) -> Response:
        """All of them, newest first. While Stripe is away, as they were last seen."""
        holder = holder_of(consumer_meant(request, request.query_params.get("user_id", "")))
        cards: list[Card] = []
        live = True
        if holder is not None:
            with gateway.deadline(WAIT_SECONDS):
                cards, live = list_cards(holder=holder)
        told = {"data": cards, "next_cursor": None, "has_more": False, "live": live}
        return Response(CardList(told).data)

    @extend_schema(
        summary="Add a payment method",
        request=AddRequest,
        parameters=[KEY],
        responses={200: CardShown, 201: SetupShown, 404: Problem},
    )
    def post(self, request: Request) -> Response:
        """201 with a `client_secret` for Stripe.js and a `url` of Stripe's page; with a
        `payment_method_id` that one is added.
        """
        asked = checked(AddRequest, request.data)
        project = project_named(request, asked)
        back = allowed_url(asked["return_url"], field="return_url", project=project)
        consumer, actor = consumer_acting(request, asked["user_id"]), asker_of(request).actor
        with gateway.deadline(WAIT_SECONDS):
            if asked["payment_method_id"]:
                card = attach_card(
                    consumer=consumer,
                    stripe_id=asked["payment_method_id"],
                    as_default=asked["default"],
                    actor=actor,
                    clock=now,
                )
                return Response(CardShown(card).data)
            url = back or settings.PUBLIC_URL
            setup = begin_setup(consumer=consumer, return_url=url, actor=actor, at=now())
        return Response(SetupShown(setup).data, status=201)


class OneCardView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("payment-methods:write")]

    def holder(self, request: Request, payment_method_id: str, user_id: str) -> StripeCustomer:
        """Whose it is. An app need not name the user: the payment method does."""
        asker = asker_of(request)
        if isinstance(asker, EndUser) or user_id:
            found = holder_of(consumer_meant(request, user_id))
        else:
            found = _owner(request, payment_method_id)
        if found is None:
            raise CardNotFound("There is no such payment method: look at the list.")
        return found


def _owner(request: Request, payment_method_id: str) -> StripeCustomer | None:
    rows = StripeCustomer.objects.select_related("consumer__project", "project")
    return rows.filter(
        project=asker_of(request).project,
        stripe_customer_id=owner_at_stripe(payment_method_id) or "",
        deleted_at=None,
    ).first()


class PaymentMethodView(OneCardView):
    @extend_schema(
        summary="Remove a payment method",
        parameters=[KEY, WHOSE],
        responses={200: CardGone, 404: Problem, 409: Problem},
    )
    def delete(self, request: Request, payment_method_id: str) -> Response:
        """409 `card_in_use` while it pays for a live subscription: choose another one first."""
        with gateway.deadline(WAIT_SECONDS):
            user_id = request.query_params.get("user_id", "")
            holder = self.holder(request, payment_method_id, user_id)
            said = detach_card(
                holder=holder,
                stripe_id=payment_method_id,
                actor=asker_of(request).actor,
                reason="",
                clock=now,
            )
        told = {"id": payment_method_id, "deleted": True, "message": said}
        return Response(CardGone(told).data)


class DefaultPaymentMethodView(OneCardView):
    @extend_schema(
        summary="Pay with it from now on",
        request=WhoseRequest,
        parameters=[KEY],
        responses={200: CardShown, 404: Problem},
    )
    def put(self, request: Request, payment_method_id: str) -> Response:
        """Live subscriptions that named another one follow. Twice changes nothing more."""
        asked = checked(WhoseRequest, request.data)
        project_named(request, asked)
        with gateway.deadline(WAIT_SECONDS):
            holder = self.holder(request, payment_method_id, asked["user_id"])
            with contextlib.suppress(AlreadySo):
                set_default_card(
                    holder=holder,
                    stripe_id=payment_method_id,
                    actor=asker_of(request).actor,
                    reason=asked["reason"],
                    clock=now,
                )
            cards, _ = list_cards(holder=holder)
        card = next((one for one in cards if one.stripe_id == payment_method_id), None)
        if card is None:
            raise CardNotFound("There is no such payment method any more: look at the list.")
        return Response(CardShown(card).data)

    post = put
