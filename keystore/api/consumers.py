"""Consumers and their keys, for the project's own apps."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import NotFound
from keystore.authentication import (
    KEY_OR_TOKEN,
    asker_of,
    caller_of,
    consumer_acting,
    consumer_meant,
    project_named,
)
from keystore.callers import EndUser
from keystore.errors import NotForUsers
from keystore.idempotency import IdempotentWrites
from keystore.models import Api, Consumer, Project
from keystore.pagination import page_of
from keystore.permissions import own_or_scope, scope
from keystore.rotation import rotate_key
from keystore.selectors import consumer_key, consumer_of, consumers_of, keys_of
from keystore.serializers import (
    ChangeConsumerRequest,
    ConsumerPage,
    ConsumerShown,
    IssuedKeyShown,
    IssueKeyRequest,
    KeyPage,
    KeyShown,
    Problem,
    RegisterRequest,
    RevokeKeyRequest,
    RotatedKeyShown,
    RotateKeyRequest,
    checked,
)
from keystore.services import (
    change_consumer,
    disable_key,
    enable_key,
    issue_key,
    register_consumer,
    revoke_key,
)

PROBLEMS = {400: Problem, 401: Problem, 403: Problem}
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="Repeat a write safely: the same key gets the same answer for 30 days.",
)


class RegisterConsumerView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("checkout:write")]

    @extend_schema(
        operation_id="consumers_register",
        summary="Register a user",
        request=RegisterRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ConsumerShown, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """Register a user, or retrieve the one that was registered before.

        A token registers its own user: `user_id` may be left out, the address is the token's.
        """
        asker = asker_of(request)
        given = request.data
        if isinstance(asker, EndUser) and isinstance(given, dict):
            given = {"user_id": asker.external_id, **given, "email": asker.email}
        asked = checked(RegisterRequest, given)
        project = project_named(request, asked)
        if isinstance(asker, EndUser):
            asked["user_id"] = consumer_acting(request, asked["user_id"]).external_id
        consumer = register_consumer(
            project=project,
            external_id=asked["user_id"],
            email=asked["email"],
            name=asked["name"],
            actor=asker.actor,
        )
        return Response(ConsumerShown(consumer).data)


class ConsumersView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        operation_id="consumers_list",
        summary="The users",
        parameters=[
            OpenApiParameter("email", description="The whole address."),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor"),
        ],
        responses={200: ConsumerPage, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """The project's users, newest first."""
        found = consumers_of(
            project=caller_of(request).project, email=request.query_params.get("email", "")
        )
        page = page_of(found, request.query_params)
        return Response(page.body(list(ConsumerShown(page.rows, many=True).data)))


class ConsumerView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        wanted = "consumers:write" if self.request.method == "PATCH" else "entitlements:read"
        return [own_or_scope(wanted)()]

    @extend_schema(
        operation_id="consumers_retrieve",
        summary="A user",
        responses={200: ConsumerShown, 404: Problem, **PROBLEMS},
    )
    def get(self, request: Request, consumer_id: str) -> Response:
        """A consumer by the app's own id or by ours (con_...); a token reads its own."""
        consumer = consumer_meant(request, consumer_id)
        if consumer is None:
            raise _unknown()
        return Response(ConsumerShown(consumer).data)

    @extend_schema(
        operation_id="consumers_change",
        summary="Change a user",
        request=ChangeConsumerRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ConsumerShown, 404: Problem, **PROBLEMS},
    )
    def patch(self, request: Request, consumer_id: str) -> Response:
        """Change the e-mail address or the name. A token changes its own name: the address is
        the token's.
        """
        consumer = consumer_acting(request, consumer_id)
        asked = checked(ChangeConsumerRequest, request.data)
        asker = asker_of(request)
        if isinstance(asker, EndUser) and "email" in asked:
            raise NotForUsers("The e-mail address is the token's: change it where you sign in.")
        change_consumer(consumer=consumer, actor=asker.actor, **asked)
        return Response(ConsumerShown(consumer).data)


class KeysView(IdempotentWrites):
    def get_permissions(self) -> list[Any]:
        wanted = "keys:read" if self.request.method in {"GET", "HEAD"} else "keys:write"
        return [scope(wanted)()]

    @extend_schema(
        operation_id="keys_list",
        summary="The keys of a user",
        parameters=[
            OpenApiParameter("user_id", required=True),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor"),
        ],
        responses={200: KeyPage, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """The keys of a user, newest first; an unknown user has none."""
        user_id = request.query_params.get("user_id", "")
        consumer = consumer_of(project=caller_of(request).project, user_id=user_id)
        page = page_of(keys_of(consumer=consumer), request.query_params)
        return Response(page.body(list(KeyShown(page.rows, many=True).data)))

    @extend_schema(
        operation_id="keys_issue",
        summary="Issue a key",
        request=IssueKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: IssuedKeyShown, 404: Problem, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """Issue a key for a user. Its text is in this answer and never again."""
        asked = checked(IssueKeyRequest, request.data)
        project = project_named(request, asked)
        asked.pop("project_id", None)
        issued = issue_key(
            project=project,
            owner=_consumer(project, asked.pop("user_id")),
            api=_api(project, asked.pop("api", None)),
            own_limit_per_minute=asked.pop("limit_per_minute"),
            own_burst=asked.pop("burst"),
            actor=caller_of(request).actor,
            at=now(),
            **asked,
        )
        shown = IssuedKeyShown(issued.key, context={"plaintext": issued.plaintext})
        return Response(shown.data, status=201, headers={"Cache-Control": "no-store"})


class RevokeKeyView(IdempotentWrites):
    permission_classes = [scope("keys:write")]

    @extend_schema(
        operation_id="keys_revoke",
        summary="End a key for ever",
        request=RevokeKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyShown, 404: Problem, **PROBLEMS},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """End a key for ever. No request that starts after this answer is accepted with it."""
        asked = checked(RevokeKeyRequest, request.data)
        project = project_named(request, asked)
        key = consumer_key(project=project, key_id=key_id)
        revoke_key(key=key, actor=caller_of(request).actor, reason=asked["reason"], at=now())
        return Response(KeyShown(consumer_key(project=project, key_id=key_id)).data)


class RotateKeyView(IdempotentWrites):
    permission_classes = [scope("keys:write")]

    @extend_schema(
        operation_id="keys_rotate",
        summary="Replace a key",
        request=RotateKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: RotatedKeyShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """A successor with the same limits and scopes. Its text is in this answer and never
        again; the old key works on for `overlap_seconds`.
        """
        asked = checked(RotateKeyRequest, request.data)
        project = project_named(request, asked)
        issued = rotate_key(
            key=consumer_key(project=project, key_id=key_id),
            overlap=timedelta(seconds=asked["overlap_seconds"]),
            actor=caller_of(request).actor,
            reason=asked["reason"],
            at=now(),
        )
        shown = RotatedKeyShown(issued.key, context={"plaintext": issued.plaintext})
        return Response(shown.data, status=201, headers={"Cache-Control": "no-store"})


class SwitchKeyView(IdempotentWrites):
    """Switches a key off or on; the same again changes nothing."""

    permission_classes = [scope("keys:write")]
    switch: Callable[..., bool]

    def carry_out(self, request: Request, key_id: str) -> Response:
        asked = checked(RevokeKeyRequest, request.data)
        project = project_named(request, asked)
        key = consumer_key(project=project, key_id=key_id)
        deed = type(self).switch
        deed(key=key, actor=caller_of(request).actor, reason=asked["reason"], at=now())
        return Response(KeyShown(consumer_key(project=project, key_id=key_id)).data)


class DisableKeyView(SwitchKeyView):
    switch = staticmethod(disable_key)

    @extend_schema(
        operation_id="keys_disable",
        summary="Switch a key off",
        request=RevokeKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyShown, 404: Problem, **PROBLEMS},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Refuse the key until it is switched on again. No payment switches it on."""
        return self.carry_out(request, key_id)


class EnableKeyView(SwitchKeyView):
    switch = staticmethod(enable_key)

    @extend_schema(
        operation_id="keys_enable",
        summary="Switch a key on",
        request=RevokeKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Accept the key again. 409 when it is off for want of payment, or revoked."""
        return self.carry_out(request, key_id)


def _consumer(project: Project, user_id: str) -> Consumer:
    consumer = consumer_of(project=project, user_id=user_id)
    if consumer is None:
        raise _unknown()
    return consumer


def _unknown() -> NotFound:
    return NotFound("There is no such user: register it with POST /api/v1/consumers/register.")


def _api(project: Project, code: str | None) -> Api | None:
    if code is None:
        return None
    api = Api.objects.filter(project=project, code=code).first()
    if api is None:
        raise NotFound(f"There is no API {code!r} in this project.")
    return api
