"""Hook endpoints and deliveries, for the project's own apps."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import InvalidInput
from keystore import hooks
from keystore.api.consumers import IDEMPOTENCY_KEY, PROBLEMS
from keystore.authentication import caller_of
from keystore.idempotency import IdempotentWrites
from keystore.models import DeliveryState
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.selectors import hook_deliveries_of, hook_delivery, hook_endpoint, hook_message
from keystore.serializers import (
    ChangeHookRequest,
    DeliveryPage,
    DeliveryShown,
    HookList,
    HookReason,
    HookShown,
    MakeHookRequest,
    MessageShown,
    Problem,
    SecretHookShown,
    checked,
)

NO_STORE = {"Cache-Control": "no-store"}


class HookView(IdempotentWrites):
    """Reading needs hooks:read, everything else hooks:write."""

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in {"GET", "HEAD"}
        return [scope("hooks:read" if reads else "hooks:write")()]


class HookEndpointsView(HookView):
    @extend_schema(
        operation_id="hook_endpoints_list",
        summary="The hook endpoints of the project",
        responses={200: HookList, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """All of them, newest first."""
        endpoints = caller_of(request).project.hook_endpoints.order_by("-pk")
        return Response({"data": HookShown(endpoints, many=True).data})

    @extend_schema(
        operation_id="hook_endpoints_make",
        summary="Add a hook endpoint",
        request=MakeHookRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: SecretHookShown, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """Tell `url` of what happens. The signing secret is in this answer and never again."""
        made = hooks.make_endpoint(
            project=caller_of(request).project,
            actor=caller_of(request).actor,
            at=now(),
            **checked(MakeHookRequest, request.data),
        )
        return _with_secret(made, 201)


class HookEndpointView(HookView):
    @extend_schema(
        operation_id="hook_endpoints_change",
        summary="Change a hook endpoint",
        request=ChangeHookRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: HookShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def patch(self, request: Request, endpoint_id: str) -> Response:
        """What is not named stays. `enabled` switches it off or on; off, nothing waits for it."""
        asked = checked(ChangeHookRequest, request.data)
        project, actor = caller_of(request).project, caller_of(request).actor
        endpoint = hook_endpoint(project=project, endpoint_id=endpoint_id)
        enabled, reason = asked.pop("enabled", None), asked.pop("reason")
        if asked:
            present = {name: getattr(endpoint, name) for name in ("url", "kinds", "description")}
            terms = {**present, **asked}
            hooks.change_endpoint(endpoint=endpoint, actor=actor, reason=reason, **terms)
        if enabled is True:
            hooks.enable_endpoint(endpoint=endpoint, actor=actor, reason=reason)
        elif enabled is False:
            hooks.disable_endpoint(endpoint=endpoint, actor=actor, reason=reason, at=now())
        return Response(HookShown(hook_endpoint(project=project, endpoint_id=endpoint_id)).data)

    @extend_schema(
        operation_id="hook_endpoints_remove",
        summary="Remove a hook endpoint",
        responses={204: None, 404: Problem, **PROBLEMS},
    )
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Forget the endpoint, what waits for it and what was sent to it."""
        endpoint = hook_endpoint(project=caller_of(request).project, endpoint_id=endpoint_id)
        hooks.remove_endpoint(endpoint=endpoint, actor=caller_of(request).actor)
        return Response(status=204)


class RollSecretView(HookView):
    @extend_schema(
        operation_id="hook_endpoints_roll_secret",
        summary="Roll the signing secret",
        request=HookReason,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SecretHookShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """A new secret, in this answer and never again. For 24 hours the old one signs too."""
        asked = checked(HookReason, request.data)
        rolled = hooks.roll_secret(
            endpoint=hook_endpoint(project=caller_of(request).project, endpoint_id=endpoint_id),
            actor=caller_of(request).actor,
            reason=asked["reason"],
            at=now(),
        )
        return _with_secret(rolled, 200)


class TestHookView(HookView):
    @extend_schema(
        operation_id="hook_endpoints_test",
        summary="Send a test message",
        request=HookReason,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: DeliveryShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """A message of the kind `test`, to this endpoint alone; see its delivery for the result."""
        asked = checked(HookReason, request.data)
        sent = hooks.send_test(
            endpoint=hook_endpoint(project=caller_of(request).project, endpoint_id=endpoint_id),
            actor=caller_of(request).actor,
            reason=asked["reason"],
            at=now(),
        )
        return Response(DeliveryShown(sent).data, status=202)


class HookDeliveriesView(HookView):
    @extend_schema(
        operation_id="hook_deliveries_list",
        summary="What was sent to the project's endpoints",
        parameters=[
            OpenApiParameter("endpoint_id"),
            OpenApiParameter("state", enum=DeliveryState.values),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor"),
        ],
        responses={200: DeliveryPage, 404: Problem, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Newest first, each with its tries' last result."""
        query, project = request.query_params, caller_of(request).project
        state, endpoint_id = query.get("state", ""), query.get("endpoint_id", "")
        if state and state not in DeliveryState.values:
            raise InvalidInput(f"A state is one of {', '.join(DeliveryState.values)}.")
        deliveries = hook_deliveries_of(project=project, endpoint_id=endpoint_id, state=state)
        page = page_of(deliveries, query)
        return Response(page.body(list(DeliveryShown(page.rows, many=True).data)))


class RedeliverView(HookView):
    @extend_schema(
        operation_id="hook_deliveries_redeliver",
        summary="Send a message again",
        request=HookReason,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: DeliveryShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, delivery_id: str) -> Response:
        """The same message under the same `webhook-id`, with a fresh series of tries."""
        asked = checked(HookReason, request.data)
        project = caller_of(request).project
        delivery = hook_delivery(project=project, delivery_id=delivery_id)
        actor = caller_of(request).actor
        hooks.redeliver(delivery=delivery, actor=actor, reason=asked["reason"], at=now())
        again = hook_delivery(project=project, delivery_id=delivery_id)
        return Response(DeliveryShown(again).data, status=202)


class HookMessageView(APIView):
    permission_classes = [scope("hooks:read")]

    @extend_schema(
        operation_id="hook_messages_retrieve",
        summary="A message with all its data",
        responses={200: MessageShown, 404: Problem, **PROBLEMS},
    )
    def get(self, request: Request, message_id: str) -> Response:
        """What a hook that was too large to send refers to."""
        message = hook_message(project=caller_of(request).project, message_id=message_id)
        return Response(MessageShown(message).data)


def _with_secret(made: hooks.MadeEndpoint, status: int) -> Response:
    shown = SecretHookShown(made.endpoint, context={"secret": made.secret})
    return Response(shown.data, status=status, headers=NO_STORE)
