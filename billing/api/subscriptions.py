"""Subscriptions over HTTP: what a change would cost, and the changes themselves."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway, overrides, schedules, subscription_desk, subscription_told
from billing.api.subscription_shapes import (
    ActRequest,
    ActShown,
    CancelRequest,
    ChangeRequest,
    Fields,
    MaybeSeenRequest,
    PauseRequest,
    PreviewRequest,
    PreviewShown,
    QuantityRequest,
    ScheduleList,
    ScheduleRequest,
    ScheduleShown,
    SubscriptionShown,
    SubscriptionUsageShown,
    UpgradeRequest,
)
from billing.models import PromotionCode, ScheduledChange, Subscription
from billing.on_sale import find_price
from billing.promotions.codes import usable_code
from billing.subscription_desk import Outcome, Seen
from billing.subscriptions import ChangePreview, preview_plan_change, preview_resume
from config.clock import now
from config.errors import InvalidInput, NotFound
from keystore.authentication import KEY_OR_TOKEN, asker_of, project_named
from keystore.callers import EndUser
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0  # a change asks Stripe several times; no request hangs
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
Handler = TypeVar("Handler", bound=Callable[..., Response])


class SubscriptionNotFound(NotFound):
    code = "subscription_not_found"


def find_own(request: Request, subscription_id: str) -> Subscription:
    """A subscription of the caller's project; of a user's own, when a user asks.

    Raises SubscriptionNotFound, for what is somebody else's as well.
    """
    asker = asker_of(request)
    rows = subscription_told.subscriptions_of(project=asker.project)
    if isinstance(asker, EndUser):
        rows = rows.filter(consumer=asker.consumer) if asker.consumer else rows.none()
    known = "\x00" not in subscription_id
    found = rows.filter(stripe_subscription_id=subscription_id).first() if known else None
    if found is None:
        raise SubscriptionNotFound("There is no such subscription: look at the list.")
    return found  # type: ignore[no-any-return]


class SubscriptionView(IdempotentWrites):
    """One act on a subscription that the caller may reach."""

    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("subscriptions:write")]

    def carry_out(
        self, request: Request, asked: dict[str, Any], act: Callable[..., Outcome], **more: Any
    ) -> Response:
        row = self.row
        with gateway.deadline(WAIT_SECONDS):
            outcome = act(
                subscription=row,
                actor=asker_of(request).actor,
                reason=asked["reason"],
                clock=now,
                **more,
            )
        fresh = subscription_told.subscriptions_of(project=row.project).get(pk=row.pk)
        told = subscription_told.tell_one(fresh, at=now())
        shown = ActShown({**told, "done": outcome.done, "message": outcome.said})
        return Response(shown.data, status=200 if outcome.done else 202)

    def take(
        self, request: Request, subscription_id: str, asked_by: type[Fields]
    ) -> dict[str, Any]:
        """What was asked, of which subscription."""
        self.row = find_own(request, subscription_id)
        asked = checked(asked_by, request.data)
        project_named(request, asked)
        return asked

    def change(self, request: Request, asked: dict[str, Any], price: Any, **more: Any) -> Response:
        return self.carry_out(
            request,
            asked,
            subscription_desk.change_plan,
            price=price,
            prorate=asked["prorate"],
            seen=_seen(asked),
            code=_code(self.row, asked, price),
            **more,
        )


def _documented(summary: str, asked: type[Fields]) -> Callable[[Handler], Handler]:
    return extend_schema(
        summary=summary,
        request=asked,
        parameters=[KEY],
        responses={200: ActShown, 202: ActShown, 404: Problem, 409: Problem},
    )


class SubscriptionDetailView(SubscriptionView):
    permission_classes = [own_or_scope("subscriptions:read")]

    @extend_schema(summary="A subscription", responses={200: SubscriptionShown, 404: Problem})
    def get(self, request: Request, subscription_id: str) -> Response:
        """Out of our own tables, so it answers while Stripe does not."""
        row = find_own(request, subscription_id)
        return Response(SubscriptionShown(subscription_told.tell_one(row, at=now())).data)


class SubscriptionUsageView(SubscriptionView):
    permission_classes = [own_or_scope("subscriptions:read")]

    @extend_schema(
        summary="What was used in its period", responses={200: SubscriptionUsageShown, 404: Problem}
    )
    def get(self, request: Request, subscription_id: str) -> Response:
        """By meter: of which limit, and what it costs so far."""
        row = find_own(request, subscription_id)
        told = subscription_told.usage_told(row, at=now())
        return Response(SubscriptionUsageShown(told).data)


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
        price = _price(self.row, asked)
        return preview_plan_change(
            subscription=self.row,
            price=price,
            prorate=asked["prorate"],
            at=at,
            quantity=asked["quantity"],
            code=_code(self.row, asked, price),
        )


def _shown(preview: ChangePreview) -> Any:
    return PreviewShown({**vars(preview), "priced_at": int(preview.at.timestamp())}).data


def _price(row: Subscription, asked: dict[str, Any]) -> Any:
    """The price that is meant, as this user pays it; without a name the present one."""
    if not (asked.get("plan") or asked.get("price_id")):
        if row.price is None:
            raise InvalidInput("Its price is not in the catalogue: name a plan.")
        return row.price
    price = find_price(
        project=row.project,
        stripe_price_id=asked["price_id"],
        plan_code=asked["plan"],
        currency="" if asked["price_id"] else row.currency,
    )
    return overrides.price_for(consumer=row.consumer, price=price)


def _code(row: Subscription, asked: dict[str, Any], price: Any) -> PromotionCode | None:
    return usable_code(
        project=row.project,
        text=asked.get("promotion_code", ""),
        consumer=row.consumer,
        price=price,
        quantity=asked.get("quantity") or row.quantity,
        at=now(),
    )


def _seen(asked: dict[str, Any]) -> Seen | None:
    if "priced_at" not in asked:
        return None
    return Seen(datetime.fromtimestamp(asked["priced_at"], UTC), asked["due_now_minor"])


class ChangeView(SubscriptionView):
    @_documented("Change the plan", ChangeRequest)
    def post(self, request: Request, subscription_id: str) -> Response:
        """Charges what the preview told and not a cent more: 409 when it would cost else."""
        asked = self.take(request, subscription_id, ChangeRequest)
        return self.change(request, asked, _price(self.row, asked))


class UpgradeView(SubscriptionView):
    @_documented("Upgrade or downgrade", UpgradeRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """Without a preview it is priced now and charged at that. A card that is declined leaves
        the old plan as it is (422).
        """
        asked = self.take(request, subscription_id, UpgradeRequest)
        return self.change(request, asked, _price(self.row, asked))

    post = put


class QuantityView(SubscriptionView):
    @_documented("Change the quantity", QuantityRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """More seats, or fewer, of the same price; previewed with `quantity`."""
        asked = self.take(request, subscription_id, QuantityRequest)
        return self.change(request, asked, _price(self.row, asked), quantity=asked["quantity"])

    post = put


class CancelView(SubscriptionView):
    @_documented("Cancel", CancelRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """At the end of the period, unless `at_period_end` is false. Nothing is paid back."""
        asked = self.take(request, subscription_id, CancelRequest)
        later = asked["at_period_end"]
        act = subscription_desk.cancel_at_period_end if later else subscription_desk.cancel_now
        return self.carry_out(request, asked, act)

    post = put


class UncancelView(SubscriptionView):
    @_documented("Take a cancellation back", ActRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """While it has not ended yet."""
        asked = self.take(request, subscription_id, ActRequest)
        return self.carry_out(request, asked, subscription_desk.uncancel)

    post = put


class PauseView(SubscriptionView):
    @_documented("Pause", PauseRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """Nothing is collected until it is resumed, by itself at `resumes_at`; access ends with
        what is paid.
        """
        asked = self.take(request, subscription_id, PauseRequest)
        return self.carry_out(
            request, asked, subscription_desk.pause, resumes_at=asked["resumes_at"]
        )

    post = put


class ResumeView(SubscriptionView):
    @_documented("Resume", MaybeSeenRequest)
    def put(self, request: Request, subscription_id: str) -> Response:
        """Within the paid time it costs nothing; after it, a new period begins and is charged."""
        asked = self.take(request, subscription_id, MaybeSeenRequest)
        return self.carry_out(request, asked, subscription_desk.resume, seen=_seen(asked))

    post = put


class ScheduleView(SubscriptionView):
    @extend_schema(summary="Changes to come and past", responses={200: ScheduleList, 404: Problem})
    def get(self, request: Request, subscription_id: str) -> Response:
        """Newest first; at most one of them waits."""
        row = find_own(request, subscription_id)
        rows = ScheduledChange.objects.filter(subscription=row).select_related("price__plan")
        page = page_of(rows, request.query_params)
        told = [schedule_shown(one) for one in page.rows]
        return Response(page.body(told))

    @extend_schema(
        summary="Change the plan later",
        request=ScheduleRequest,
        parameters=[KEY],
        responses={201: ScheduleShown, 404: Problem, 409: Problem},
    )
    def post(self, request: Request, subscription_id: str) -> Response:
        """With the next period, or at an instant to come. What cannot be done is refused now."""
        asked = self.take(request, subscription_id, ScheduleRequest)
        with gateway.deadline(WAIT_SECONDS):
            made = schedules.schedule_change(
                subscription=self.row,
                price=_price(self.row, asked),
                quantity=asked["quantity"],
                due_at=asked["at"],
                actor=asker_of(request).actor,
                reason=asked["reason"],
                at=now(),
            )
        return Response(schedule_shown(made), status=201)

    put = post

    @extend_schema(
        summary="Withdraw what is to come",
        parameters=[KEY],
        responses={200: ScheduleShown, 404: Problem, 409: Problem},
    )
    def delete(self, request: Request, subscription_id: str) -> Response:
        """409 when nothing waits, or when it is being carried out."""
        row = find_own(request, subscription_id)
        gone = schedules.withdraw(
            subscription=row, actor=asker_of(request).actor, reason="", at=now()
        )
        return Response(schedule_shown(gone))


def schedule_shown(row: ScheduledChange) -> Any:
    return ScheduleShown(subscription_told.schedule_told(row)).data
