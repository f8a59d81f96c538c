"""Checkout over HTTP: begin one, ask what came of it, claim the key."""

from datetime import datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import gateway
from billing.api.offered import code_asked, price_asked
from billing.checkout import Wish, fulfil_checkout, start_checkout
from billing.claims import CheckoutKey, claim_key_of_checkout, key_of_checkout
from billing.models import Checkout, CheckoutMode, CheckoutState
from billing.on_sale import find_price
from billing.origins import allowed_url
from billing.refusals import refused
from billing.selectors import find_checkout
from billing.serializers import (
    CheckoutRequest,
    CheckoutSerializer,
    PublicCheckoutRequest,
    PublicCheckoutSerializer,
)
from billing.throttling import PublicCheckoutThrottle
from config.clock import now
from config.errors import NotFound, Unavailable
from keystore.authentication import caller_of, project_named
from keystore.idempotency import IdempotentWrites
from keystore.ids import new_id
from keystore.models import Consumer, Project
from keystore.permissions import scope
from keystore.serializers import checked
from keystore.services import register_consumer

WAIT_SECONDS = 8.0  # for all of Stripe's answers together: no request hangs
CLAIM = OpenApiParameter("claim", bool, description="Hand the key over, once, if it is there.")
IDEMPOTENCY_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class CheckoutNotFound(NotFound):
    code = "checkout_not_found"


class PublicCheckoutOff(NotFound):
    code = "public_checkout_off"


def told(checkout: Checkout, key: CheckoutKey | None = None) -> dict[str, Any]:
    """A checkout as callers see it."""
    url = checkout.session_url if checkout.state == CheckoutState.OPEN else None
    return {
        "id": checkout.public_id,
        "session_id": checkout.stripe_session_id or None,
        "state": checkout.state,
        "url": url,
        "checkout_url": url,
        "user_id": checkout.consumer.external_id,
        "project_id": checkout.project_id,
        "plan": checkout.plan.code,
        "price_id": checkout.price.stripe_price_id,
        "currency": checkout.price.currency,
        "promotion_code": str(checkout.promotion_code) if checkout.promotion_code else None,
        "mode": checkout.mode,
        "subscription_id": checkout.stripe_subscription_id or None,
        "payment_intent_id": checkout.stripe_payment_intent_id or None,
        "problem": checkout.problem or None,
        "key": _told_key(key),
    }


def _told_key(key: CheckoutKey | None) -> dict[str, Any] | None:
    if key is None:
        return None
    return {
        "id": key.key.public_id,
        "prefix": key.key.prefix,
        "last4": key.key.last4,
        "claimable": key.claimable,
        "key": key.plaintext,
    }


def answer_begun(checkout: Checkout) -> Response:
    """200 with the url; 202 while Stripe's answer is missing; 422 when Stripe refused."""
    if checkout.state == CheckoutState.FAILED:
        raise refused(
            message=checkout.problem,
            stripe_code=checkout.operation.error_code if checkout.operation else "",
            what="Stripe refused the checkout: ",
            has_code=checkout.promotion_code is not None,
        )
    if checkout.state == CheckoutState.PENDING:
        _refuse_if_unsent(checkout)
        where = f"{settings.PUBLIC_URL}/api/v1/checkout/session/{checkout.public_id}"
        return Response(told(checkout), status=202, headers={"Location": where, "Retry-After": "5"})
    return Response(told(checkout))


def _refuse_if_unsent(checkout: Checkout) -> None:
    """Stripe is surely not reached: say so, rather than let the buyer wait for the sweeper."""
    operation = checkout.operation
    if operation is not None and operation.state == "wanted":
        raise gateway.StripeUnavailable(f"{operation.error} Try again in a moment.")
    if operation is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")


class CheckoutView(IdempotentWrites, APIView):
    permission_classes = [scope("checkout:write")]

    @extend_schema(
        request=CheckoutRequest,
        responses={200: CheckoutSerializer, 202: CheckoutSerializer},
        parameters=[IDEMPOTENCY_KEY],
        summary="Begin a checkout",
    )
    def post(self, request: Request) -> Response:
        """The page on which the user pays. 202: Stripe has not answered; ask the Location."""
        asked = checked(CheckoutRequest, request.data)
        project = project_named(request, asked)
        wish = _wish(request, project, asked)
        with gateway.deadline(WAIT_SECONDS):
            checkout = start_checkout(wish=wish, actor=caller_of(request).actor, at=now())
        return answer_begun(checkout)


def _wish(request: Request, project: Project, asked: dict[str, Any]) -> Wish:
    price = price_asked(request, project, asked)
    urls = {
        field: allowed_url(asked[field], field=field, project=project)
        for field in ("success_url", "cancel_url")
    }
    consumer = register_consumer(
        project=project, external_id=asked["user_id"], email=asked["customer_email"]
    )
    return Wish(
        consumer=consumer,
        price=price,
        mode=CheckoutMode(asked["mode"]),
        quantity=asked["quantity"],
        promotion_code=code_asked(project, asked, consumer=consumer, price=price),
        **urls,
    )


class CheckoutStateView(APIView):
    permission_classes = [scope("checkout:write")]

    @extend_schema(
        responses={200: CheckoutSerializer}, parameters=[CLAIM], summary="What came of a checkout"
    )
    def get(self, request: Request, reference: str) -> Response:
        """Asks Stripe when nobody told us yet, so access never waits for a webhook."""
        checkout = _find(caller_of(request).project, reference)
        checkout = _fulfilled(checkout)
        # HEAD comes here, too, and shows nobody what it would have used up.
        asks = request.query_params.get("claim", "").lower() in ("1", "true", "yes")
        return _answer(checkout, claim=asks and request.method == "GET")


class CheckoutClaimView(APIView):
    permission_classes = [scope("checkout:write")]

    @extend_schema(request=None, responses={200: CheckoutSerializer}, summary="Claim the key")
    def post(self, request: Request, reference: str) -> Response:
        """The key that came with the purchase: in this answer, and never again."""
        checkout = _find(caller_of(request).project, reference)
        checkout = _fulfilled(checkout)
        return _answer(checkout, claim=True)


def _find(project: Project, reference: str) -> Checkout:
    checkout = find_checkout(reference=reference, project=project)
    if checkout is None:
        raise CheckoutNotFound("There is no such checkout in this project.")
    return checkout


def _fulfilled(checkout: Checkout) -> Checkout:
    try:
        with gateway.deadline(WAIT_SECONDS):
            return fulfil_checkout(checkout=checkout, clock=now)
    except Unavailable:
        return checkout  # what we know still holds; the sweeper asks Stripe again


def _answer(checkout: Checkout, *, claim: bool) -> Response:
    at: datetime = now()
    reveal = claim_key_of_checkout if claim else key_of_checkout
    response = Response(told(checkout, reveal(checkout=checkout, at=at)))
    response["Cache-Control"] = "no-store"
    return response


class PublicCheckoutView(APIView):
    """For shops without a backend: no key, one project, throttled by address."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (PublicCheckoutThrottle,)

    @extend_schema(
        request=PublicCheckoutRequest,
        responses={200: PublicCheckoutSerializer},
        auth=[],
        summary="Begin a checkout without a key",
    )
    def post(self, request: Request) -> Response:
        """Sells the plans of the project that PUBLIC_CHECKOUT_PROJECT names."""
        asked = checked(PublicCheckoutRequest, request.data)
        project = Project.objects.filter(slug=settings.PUBLIC_CHECKOUT_PROJECT).first()
        if project is None or not settings.PUBLIC_CHECKOUT_PROJECT:
            raise PublicCheckoutOff("This deployment sells nothing without a key.")
        wish = _public_wish(project, asked)
        with gateway.deadline(WAIT_SECONDS):
            checkout = start_checkout(wish=wish, actor="public", at=now())
        begun = answer_begun(checkout)
        if begun.status_code != 200:
            raise gateway.StripeUnavailable("Stripe is slow at present. Try again in a moment.")
        return Response({"url": begun.data["url"]})


def _public_wish(project: Project, asked: dict[str, Any]) -> Wish:
    price = find_price(project=project, plan_code=asked["plan"])
    success_url = allowed_url(asked["success_url"], field="success_url", project=project)
    cancel_url = allowed_url(asked["cancel_url"], field="cancel_url", project=project)
    return Wish(
        consumer=_public_consumer(project, asked["customer_email"]),
        price=price,
        mode=CheckoutMode.PAYMENT if price.kind == "one_off" else CheckoutMode.SUBSCRIPTION,
        success_url=success_url,
        cancel_url=cancel_url,
    )


def _public_consumer(project: Project, email: str) -> Consumer:
    """A guest of their own. Nobody proved whose address it is: it must neither lead to a page on
    which somebody else pays, nor tell what its owner has bought.
    """
    return register_consumer(project=project, external_id=new_id("guest"), email=email)
