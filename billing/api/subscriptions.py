"""Subscriptions over HTTP: what a change would cost, and the changes themselves."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway, subscription_desk
from billing.checkout import find_price
from billing.models import Subscription
from billing.subscription_desk import Outcome, Seen
from billing.subscriptions import ChangePreview, preview_plan_change, preview_resume
from config.clock import now
from config.errors import NotFound
from keystore.authentication import caller_of, project_named
from keystore.idempotency import IdempotentWrites
from keystore.permissions import scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0  # a change asks Stripe several times; no request hangs
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
LATEST = 2**33
Fields = serializers.Serializer[Any]
Handler = TypeVar("Handler", bound=Callable[..., Response])


def _example(name: str, **value: object) -> Any:
    shown = OpenApiExample(name, value=value, request_only=True)
    return extend_schema_serializer(examples=[shown])


class SubscriptionNotFound(NotFound):
    code = "subscription_not_found"


@_example("on request", reason="Asked by the buyer")
class ActRequest(Fields):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")


@_example("with its period", at_period_end=True, reason="Asked by the buyer")
class CancelRequest(ActRequest):
    at_period_end = serializers.BooleanField(default=True, help_text="false: it ends now.")


@_example("an upgrade", plan="team", prorate=True)
class PreviewRequest(Fields):
    plan = serializers.CharField(max_length=50, required=False, default="")
    price_id = serializers.CharField(max_length=255, required=False, default="")
    prorate = serializers.BooleanField(default=True, help_text="Settle the rest of the period now.")
    resume = serializers.BooleanField(default=False, help_text="Price going on after a pause.")
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        wishes = [bool(asked["plan"] or asked["price_id"]), asked["resume"]]
        if sum(wishes) != 1:
            raise serializers.ValidationError("Name a plan or price_id, or say resume.")
        return asked


@_example("as previewed", priced_at=1_790_000_000, due_now_minor=0)
class SeenRequest(ActRequest):
    priced_at = serializers.IntegerField(
        min_value=1, max_value=LATEST, help_text="As the preview told it."
    )
    due_now_minor = serializers.IntegerField(help_text="As the preview told it.")


@_example("an upgrade", plan="team", priced_at=1_790_000_000, due_now_minor=1750)
class ChangeRequest(SeenRequest):
    plan = serializers.CharField(max_length=50, required=False, default="")
    price_id = serializers.CharField(max_length=255, required=False, default="")
    prorate = serializers.BooleanField(default=True)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not (asked["plan"] or asked["price_id"]):
            raise serializers.ValidationError("Name a plan or a price_id.")
        return asked


class LineShown(Fields):
    description = serializers.CharField()
    amount_minor = serializers.IntegerField()


class PreviewShown(Fields):
    priced_at = serializers.IntegerField(help_text="Send it back with the change, in 30 minutes.")
    due_now_minor = serializers.IntegerField(help_text="Below 0: credited to the balance.")
    currency = serializers.CharField()
    lines = LineShown(many=True)
    next_minor = serializers.IntegerField(allow_null=True, help_text="null: it does not renew.")
    next_at = serializers.DateTimeField(allow_null=True)


class SubscriptionShown(Fields):
    id = serializers.CharField(source="stripe_subscription_id")
    user_id = serializers.CharField(source="consumer.external_id")
    plan = serializers.CharField(source="plan.code", default=None, allow_null=True)
    status = serializers.CharField()
    current_period_end = serializers.DateTimeField(allow_null=True)
    cancel_at = serializers.DateTimeField(allow_null=True)
    paused = serializers.BooleanField()
    done = serializers.BooleanField(help_text="false: Stripe has not answered yet; ask again.")
    message = serializers.CharField()


class SubscriptionView(IdempotentWrites):
    """One act on a subscription of the caller's project."""

    permission_classes = [scope("subscriptions:write")]

    def carry_out(
        self, request: Request, asked: dict[str, Any], act: Callable[..., Outcome], **more: Any
    ) -> Response:
        row = self.row
        with gateway.deadline(WAIT_SECONDS):
            outcome = act(
                subscription=row,
                actor=caller_of(request).actor,
                reason=asked["reason"],
                clock=now,
                **more,
            )
        row.refresh_from_db()
        shown = {"done": outcome.done, "message": outcome.said}
        for name, value in shown.items():
            setattr(row, name, value)
        return Response(SubscriptionShown(row).data, status=200 if outcome.done else 202)

    def take(
        self, request: Request, subscription_id: str, asked_by: type[Fields]
    ) -> dict[str, Any]:
        """What was asked, of which subscription."""
        asked = checked(asked_by, request.data)
        project = project_named(request, asked)
        rows = Subscription.objects.select_related("project", "consumer__stripe_customer", "plan")
        found = rows.filter(project=project, stripe_subscription_id=subscription_id).first()
        if found is None:
            raise SubscriptionNotFound("There is no such subscription in this project.")
        self.row: Subscription = found
        return asked


def _documented(summary: str, asked: type[Fields]) -> Callable[[Handler], Handler]:
    return extend_schema(
        summary=summary,
        request=asked,
        parameters=[KEY],
        responses={200: SubscriptionShown, 202: SubscriptionShown, 404: Problem, 409: Problem},
    )


class PreviewView(SubscriptionView):
    @extend_schema(
        summary="What a change would cost",
        request=PreviewRequest,
        responses={200: PreviewShown, 404: Problem, 409: Problem},
    )
    def post(self, request: Request, subscription_id: str) -> Response:
        """Asks Stripe and changes nothing. Send what it tells back with the change."""
        asked = self.take(request, subscription_id, PreviewRequest)
        at = now().replace(microsecond=0)
        with gateway.deadline(WAIT_SECONDS):
            return Response(_shown(self._preview(asked, at)))

    def _preview(self, asked: dict[str, Any], at: datetime) -> ChangePreview:
        if asked["resume"]:
            return preview_resume(subscription=self.row, at=at)
        return preview_plan_change(
            subscription=self.row, price=_price(self.row, asked), prorate=asked["prorate"], at=at
        )


def _shown(preview: ChangePreview) -> Any:
    return PreviewShown({**vars(preview), "priced_at": int(preview.at.timestamp())}).data


def _price(row: Subscription, asked: dict[str, Any]) -> Any:
    return find_price(
        project=row.project, stripe_price_id=asked["price_id"], plan_code=asked["plan"]
    )


def _seen(asked: dict[str, Any]) -> Seen:
    return Seen(datetime.fromtimestamp(asked["priced_at"], UTC), asked["due_now_minor"])


class ChangeView(SubscriptionView):
    @_documented("Change the plan", ChangeRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """Charges what the preview told and not a cent more: 409 when it would cost else."""
        asked = self.take(request, subscription_id, ChangeRequest)
        return self.carry_out(
            request,
            asked,
            subscription_desk.change_plan,
            price=_price(self.row, asked),
            prorate=asked["prorate"],
            seen=_seen(asked),
        )


class CancelView(SubscriptionView):
    @_documented("Cancel", CancelRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """At the end of the period, unless `at_period_end` is false. Nothing is paid back."""
        asked = self.take(request, subscription_id, CancelRequest)
        later = asked["at_period_end"]
        act = subscription_desk.cancel_at_period_end if later else subscription_desk.cancel_now
        return self.carry_out(request, asked, act)


class UncancelView(SubscriptionView):
    @_documented("Take a cancellation back", ActRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """While it has not ended yet."""
        asked = self.take(request, subscription_id, ActRequest)
        return self.carry_out(request, asked, subscription_desk.uncancel)


class PauseView(SubscriptionView):
    @_documented("Pause", ActRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """Nothing is collected until it is resumed; access ends with what is paid."""
        asked = self.take(request, subscription_id, ActRequest)
        return self.carry_out(request, asked, subscription_desk.pause)


class ResumeView(SubscriptionView):
    @_documented("Resume", SeenRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """Within the paid time it costs nothing; after it, a new period begins and is charged."""
        asked = self.take(request, subscription_id, SeenRequest)
        return self.carry_out(request, asked, subscription_desk.resume, seen=_seen(asked))
