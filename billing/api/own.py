"""A user's own billing in the short spelling: what an account page asks, one call per box."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import access, gateway, subscription_told
from billing.api.checkout import answer_begun
from billing.api.invoice_shapes import InvoiceList
from billing.api.invoices import LISTED, InvoicesView
from billing.api.offered import code_asked, price_asked
from billing.api.own_shapes import (
    OwnCheckoutRequest,
    OwnPortalRequest,
    OwnQuota,
    OwnSubscription,
    OwnUsage,
)
from billing.checkout import Wish, start_checkout
from billing.everybody import NO_SUBSCRIPTION, current_of, usage_line
from billing.models import CheckoutMode, Subscription
from billing.origins import allowed_url
from billing.portal import open_portal
from billing.serializers import CheckoutSerializer, PortalSerializer
from config.clock import now
from config.errors import InvalidInput
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
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked
from keystore.services import register_consumer
from metering.selectors import QuotaShown, quota_of

WAIT_SECONDS = 8.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
WHOSE = OpenApiParameter("user_id", str, description="Whose; a user's token needs none.")


class OwnCheckoutView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("checkout:write")]

    @extend_schema(
        operation_id="billing_checkout",
        summary="Begin a checkout",
        request=OwnCheckoutRequest,
        parameters=[KEY],
        responses={200: CheckoutSerializer, 202: CheckoutSerializer, 409: Problem},
    )
    def post(self, request: Request) -> Response:
        """As POST /api/v1/checkout/session; a user's token buys for that user."""
        asked = checked(OwnCheckoutRequest, request.data)
        project = project_named(request, asked)
        urls = {
            field: allowed_url(asked[field], field=field, project=project)
            for field in ("success_url", "cancel_url")
        }
        price = price_asked(request, project, asked)
        consumer = _buyer(request, project, asked)
        wish = Wish(
            consumer=consumer,
            price=price,
            mode=CheckoutMode(asked["mode"]),
            quantity=asked["quantity"],
            promotion_code=code_asked(project, asked, consumer=consumer, price=price),
            **urls,
        )
        with gateway.deadline(WAIT_SECONDS):
            checkout = start_checkout(wish=wish, actor=asker_of(request).actor, at=now())
        return answer_begun(checkout)


def _buyer(request: Request, project: Project, asked: dict[str, Any]) -> Consumer:
    if isinstance(asker_of(request), EndUser):
        return consumer_acting(request, asked["user_id"])
    if not asked["user_id"]:
        raise InvalidInput("Say who buys: send user_id.")
    return register_consumer(
        project=project, external_id=asked["user_id"], email=asked["customer_email"]
    )


class OwnPortalView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("portal:write")]

    @extend_schema(
        operation_id="billing_portal",
        summary="Open the portal",
        request=OwnPortalRequest,
        responses={200: PortalSerializer, 404: Problem},
    )
    def post(self, request: Request) -> Response:
        """A link to Stripe's portal, good for minutes."""
        asked = checked(OwnPortalRequest, request.data)
        project = project_named(request, asked)
        back = allowed_url(asked["return_url"], field="return_url", project=project)
        known = project.allowed_origins
        with gateway.deadline(WAIT_SECONDS):
            session = open_portal(
                consumer=consumer_meant(request, asked["user_id"]),
                return_url=back or (known[0] if known else settings.PUBLIC_URL),
                actor=asker_of(request).actor,
                at=now(),
            )
        return Response(
            {"id": session.stripe_session_id, "url": session.url, "portal_url": session.url}
        )


class OwnView(APIView):
    """A read of what one user has."""

    authentication_classes = KEY_OR_TOKEN

    def whose(self, request: Request) -> tuple[str, Consumer | None]:
        """The user as the caller calls them, and the consumer if they are known here."""
        user_id = request.query_params.get("user_id", "")
        consumer = consumer_meant(request, user_id)
        asker = asker_of(request)
        if isinstance(asker, EndUser):
            return asker.external_id, consumer
        return user_id, consumer


def _subscription_of(consumer: Consumer | None) -> Subscription | None:
    if consumer is None:
        return None
    rows = subscription_told.subscriptions_of(project=consumer.project, consumer=consumer)
    return current_of(rows)


def _quotas_of(consumer: Consumer | None) -> list[QuotaShown]:
    return quota_of(consumer=consumer, at=now()) if consumer else []


def _plan(row: Subscription | None) -> str | None:
    """The plan that is paid for now."""
    live = row is not None and row.status not in access.ENDED and row.plan is not None
    return row.plan.code if live and row and row.plan else None


class OwnSubscriptionView(OwnView):
    permission_classes = [own_or_scope("subscriptions:read")]

    @extend_schema(
        operation_id="billing_subscription",
        summary="The current subscription",
        parameters=[WHOSE],
        responses={200: OwnSubscription, 404: Problem},
    )
    def get(self, request: Request) -> Response:
        """The one that runs, else the last one; `status` is none for who never had any."""
        user_id, consumer = self.whose(request)
        row = _subscription_of(consumer)
        told = subscription_told.tell_one(row, at=now()) if row else None
        body = {
            "user_id": user_id,
            "status": row.status if row else NO_SUBSCRIPTION,
            "plan": told["plan"] if told else None,
            "current_period_end": told["current_period_end"] if told else None,
            "cancel_at_period_end": bool(told and told["cancel_at_period_end"]),
            "subscription": told,
        }
        return Response(OwnSubscription(body).data)


class OwnQuotaView(OwnView):
    permission_classes = [own_or_scope("usage:read")]

    @extend_schema(
        operation_id="billing_quota",
        summary="The limits of the plan",
        parameters=[WHOSE],
        responses={200: OwnQuota, 404: Problem},
    )
    def get(self, request: Request) -> Response:
        """By meter; null is unlimited, 0 allows nothing."""
        user_id, consumer = self.whose(request)
        quotas = _quotas_of(consumer)
        ends = [quota.resets_at for quota in quotas if quota.resets_at is not None]
        body = {
            "user_id": user_id,
            "plan": _plan(_subscription_of(consumer)),
            "limits": {quota.meter.code: quota.left.limit for quota in quotas},
            "resets_at": min(ends, default=None),
        }
        return Response(OwnQuota(body).data, headers={"Cache-Control": "no-store"})


class OwnUsageView(OwnView):
    permission_classes = [own_or_scope("usage:read")]

    @extend_schema(
        operation_id="billing_usage",
        summary="What was used in the period",
        parameters=[WHOSE],
        responses={200: OwnUsage, 404: Problem},
    )
    def get(self, request: Request) -> Response:
        """Meter by meter, of which limit; what an account page draws its bars from."""
        user_id, consumer = self.whose(request)
        quotas = _quotas_of(consumer)
        periods = [quota.period for quota in quotas if quota.period.end is not None]
        lines = [usage_line(quota) for quota in quotas]
        body = {
            "user_id": user_id,
            "plan": _plan(_subscription_of(consumer)),
            "period_start": periods[0].start if periods else None,
            "period_end": periods[0].end if periods else None,
            "usage": {line["meter"]: line["used"] for line in lines},
            "meters": lines,
        }
        return Response(OwnUsage(body).data, headers={"Cache-Control": "no-store"})


class OwnInvoicesView(InvoicesView):
    @extend_schema(
        operation_id="billing_invoices",
        summary="Invoices",
        parameters=LISTED,
        responses={200: InvoiceList},
    )
    def get(self, request: Request) -> Response:
        """As GET /api/v1/invoices."""
        return super().get(request)
