"""Subscribing over HTTP, and the list of what somebody has."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway, subscription_told
from billing.api.checkout import answer_begun
from billing.api.offered import code_asked, price_asked
from billing.api.subscription_shapes import (
    SubscribedShown,
    SubscribeRequest,
    SubscriptionList,
    SubscriptionShown,
)
from billing.checkout import Wish, fulfil_checkout, start_checkout
from billing.direct import NextStep, next_step
from billing.models import Checkout, CheckoutMode, CheckoutState, Price, PriceKind
from billing.origins import allowed_url
from billing.payment_methods import chosen_card
from config.clock import now
from config.errors import InvalidInput, Unavailable
from keystore.authentication import (
    KEY_OR_TOKEN,
    asker_of,
    consumer_acting,
    consumer_meant,
    project_named,
)
from keystore.callers import EndUser
from keystore.idempotency import IdempotentWrites
from keystore.models import Consumer, Project
from keystore.pagination import page_of
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked
from keystore.services import register_consumer

WAIT_SECONDS = 12.0
LONGEST_STATUS = 30
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
LISTED = [
    OpenApiParameter("user_id", str, description="Of one user; an app may leave it out: of all."),
    OpenApiParameter("status", str, description="Stripe's word, such as active; or `live`."),
    OpenApiParameter("cursor", str),
    OpenApiParameter("limit", int, description="1 to 100"),
]
NOT_LIVE = ("canceled", "incomplete_expired", "incomplete")


class SubscriptionsView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        return [own_or_scope("subscriptions:read" if reads else "subscriptions:write")()]

    @extend_schema(
        operation_id="subscriptions_list",
        summary="Subscriptions",
        parameters=LISTED,
        responses={200: SubscriptionList},
    )
    def get(self, request: Request) -> Response:
        """A user's own; an app's of all its users, or of one. Newest first."""
        rows = _listed(request)
        status = request.query_params.get("status", "")
        if status == "live":
            rows = rows.exclude(status__in=NOT_LIVE)
        elif status:
            rows = rows.filter(status=status.replace("\x00", "")[:LONGEST_STATUS])
        page = page_of(rows, request.query_params, by="stripe_subscription_id")
        told = subscription_told.tell_all(page.rows, at=now())
        return Response(page.body([SubscriptionShown(one).data for one in told]))

    @extend_schema(
        summary="Subscribe",
        request=SubscribeRequest,
        parameters=[KEY],
        responses={200: SubscribedShown, 202: SubscribedShown, 404: Problem, 409: Problem},
    )
    def post(self, request: Request) -> Response:
        """Answers the page on which the user pays; with a saved `payment_method`, the
        subscription itself and, while it is incomplete, what the user has to do next.
        """
        asked = checked(SubscribeRequest, request.data)
        project = project_named(request, asked)
        price, urls = _offered(request, project, asked)
        consumer = _buyer(request, project, asked)
        with gateway.deadline(WAIT_SECONDS):
            wish = _wish(consumer, price, asked, urls)
            checkout = start_checkout(wish=wish, actor=asker_of(request).actor, at=now())
            checkout = _advanced(checkout)
            answer_begun(checkout)  # raises what Stripe refused
            step = _step(checkout)
        done = checkout.state != CheckoutState.PENDING
        return Response(_subscribed(checkout, step), status=200 if done else 202)


def _listed(request: Request) -> Any:
    asker = asker_of(request)
    user_id = request.query_params.get("user_id", "")
    if isinstance(asker, EndUser) or user_id:
        consumer = consumer_meant(request, user_id)
        rows = subscription_told.subscriptions_of(project=asker.project, consumer=consumer)
        return rows if consumer else rows.none()
    return subscription_told.subscriptions_of(project=asker.project)


def _buyer(request: Request, project: Project, asked: dict[str, Any]) -> Consumer:
    """An app's new user is registered by the first purchase, as at a checkout."""
    asker = asker_of(request)
    if isinstance(asker, EndUser):
        return consumer_acting(request, asked["user_id"])
    if not asked["user_id"]:
        raise InvalidInput("Say who subscribes: send user_id.")
    return register_consumer(
        project=project, external_id=asked["user_id"], email=asked["customer_email"]
    )


def _offered(
    request: Request, project: Project, asked: dict[str, Any]
) -> tuple[Price, dict[str, str]]:
    """What is for sale and the ways back: refused before anybody is registered for it."""
    price = price_asked(request, project, asked)
    if price.kind == PriceKind.ONE_OFF:
        raise InvalidInput(
            f"{price} is paid once and no subscription: use POST /api/v1/checkout/session."
        )
    fields = ("success_url", "cancel_url")
    return price, {name: allowed_url(asked[name], field=name, project=project) for name in fields}


def _wish(consumer: Consumer, price: Price, asked: dict[str, Any], urls: dict[str, str]) -> Wish:
    card = asked["payment_method"]
    return Wish(
        consumer=consumer,
        price=price,
        mode=CheckoutMode.SUBSCRIPTION,
        quantity=asked["quantity"],
        promotion_code=code_asked(consumer.project, asked, consumer=consumer, price=price),
        payment_method_id=chosen_card(consumer=consumer, named=card) if card else "",
        **urls,
    )


def _advanced(checkout: Checkout) -> Checkout:
    """What a saved card paid is followed at once; otherwise the sweeper and the events do."""
    if not checkout.stripe_payment_method_id or checkout.state != CheckoutState.OPEN:
        return checkout
    try:
        return fulfil_checkout(checkout=checkout, clock=now)
    except Unavailable:
        return checkout


def _step(checkout: Checkout) -> NextStep:
    if not checkout.stripe_payment_method_id:
        said = "Send the user to checkout_url, where they pay."
        code = "pay_at_checkout" if checkout.state == CheckoutState.OPEN else "wait"
        return NextStep(code, said)
    return next_step(checkout)


def _subscribed(checkout: Checkout, step: NextStep) -> Any:
    rows = subscription_told.subscriptions_of(project=checkout.project)
    row = rows.filter(stripe_subscription_id=checkout.stripe_subscription_id or None).first()
    url = checkout.session_url if checkout.state == CheckoutState.OPEN else ""
    told = {
        "id": checkout.stripe_subscription_id or None,
        "checkout_id": checkout.public_id,
        "state": checkout.state,
        "status": row.status if row else None,
        "user_id": checkout.consumer.external_id,
        "project_id": checkout.project_id,
        "plan": checkout.plan.code,
        "price_id": checkout.price.stripe_price_id,
        "currency": checkout.price.currency,
        "promotion_code": str(checkout.promotion_code) if checkout.promotion_code else None,
        "trial_days": checkout.trial_days,
        "url": url or None,
        "checkout_url": url or None,
        "client_secret": step.client_secret,
        "confirmation_url": step.url,
        "next_step": {"code": step.code, "message": step.message},
        "subscription": subscription_told.tell_one(row, at=now()) if row else None,
    }
    return SubscribedShown(told).data
