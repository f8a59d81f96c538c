"""Checks and flags over HTTP. What is asked and answered are bytes: see `metering.checking`."""

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from config.clock import now
from keystore.authentication import caller_of
from keystore.errors import TooLarge
from keystore.idempotency import IdempotentWrites
from keystore.permissions import scope
from keystore.serializers import Problem
from metering.api.check_shapes import (
    BatchRequest,
    BatchShown,
    CheckRequest,
    CheckShown,
    FlagRefused,
    FlagRequest,
    FlagShown,
    FlagsShown,
)
from metering.asking import MOST_BYTES, question_in
from metering.checking import check, check_batch
from metering.flags import evaluate_flag, evaluate_flags
from metering.replies import UNFINISHED, Reply

IDEMPOTENCY_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)


class CheckView(IdempotentWrites):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        operation_id="check",
        summary="May a user use a feature?",
        request=CheckRequest,
        parameters=[IF_NONE_MATCH, IDEMPOTENCY_KEY],
        responses={200: CheckShown, 304: None, 400: Problem, 404: Problem, 409: Problem},
    )
    def post(self, request: Request) -> HttpResponse:
        """Always 200 when it could be answered: `allowed` and `code` are the decision.

        With `consume` or `reserve` it is taken in the same call, which needs the scope
        `usage:write` too; a question that takes nothing has an ETag.
        """
        if UNFINISHED in request.META:
            raise request.META[UNFINISHED]
        body = body_of(request)
        caller = caller_of(request)
        if not question_in(body).only_reads:
            needs("usage:write", request, self)
        repeatable = "Idempotency-Key" in request.headers
        known = "" if repeatable else _known(request)
        reply = check(body, project=caller.project, if_none_match=known, at=now())
        response = _response(reply)
        if repeatable:
            response.data = orjson.loads(reply.body)  # type: ignore[attr-defined]
        return response


class CheckBatchView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        operation_id="check_batch",
        summary="May these users use these features?",
        request=BatchRequest,
        parameters=[IF_NONE_MATCH],
        responses={200: BatchShown, 304: None, 400: Problem},
    )
    def post(self, request: Request) -> HttpResponse:
        """Up to 100 users and 100 features; nothing is taken."""
        project = caller_of(request).project
        return _response(
            check_batch(body_of(request), project=project, if_none_match=_known(request), at=now())
        )


class FlagView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        operation_id="ofrep_evaluate_flag",
        summary="A feature as a flag (OpenFeature)",
        request=FlagRequest,
        responses={200: FlagShown, 400: FlagRefused, 404: FlagRefused},
    )
    def post(self, request: Request, key: str) -> HttpResponse:
        """The user is the context's targetingKey. Of a limit, `value` is the limit itself."""
        project = caller_of(request).project
        return _response(evaluate_flag(key, body_of(request), project=project, at=now()))


class FlagsView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        operation_id="ofrep_evaluate_flags",
        summary="All features as flags (OpenFeature)",
        request=FlagRequest,
        parameters=[IF_NONE_MATCH],
        responses={200: FlagsShown, 304: None, 400: FlagRefused},
    )
    def post(self, request: Request) -> HttpResponse:
        """Every feature of the project, with an ETag that does not change with usage."""
        return _response(
            evaluate_flags(
                body_of(request),
                project=caller_of(request).project,
                if_none_match=_known(request),
                at=now(),
            )
        )


def body_of(request: Request) -> bytes:
    """The body as it came, read only as far as it may be long."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length[:20]) > MOST_BYTES:
        raise TooLarge(f"A body may have {MOST_BYTES:,} bytes: send less at a time.")
    return bytes(request._request.body)


def needs(wanted: str, request: Request, view: APIView) -> None:
    """Raise unless the caller's key has the scope as well."""
    permission: BasePermission = scope(wanted)()
    permission.has_permission(request, view)


def _known(request: Request) -> str:
    return str(request.headers.get("If-None-Match", ""))


def _response(reply: Reply) -> HttpResponse:
    return HttpResponse(reply.body, status=reply.status, headers=reply.headers)
