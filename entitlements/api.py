"""Entitlements over HTTP: the ready answer, why it is so, grant and revoke, the catalogue."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import DomainError, InvalidInput
from entitlements import selectors, services
from entitlements.answers import empty_body, etag_of
from entitlements.models import FeatureKind
from entitlements.serializers import (
    AnswerQuery,
    AnswerSerializer,
    ExplainQuery,
    ExplanationSerializer,
    FeaturePage,
    FeatureSerializer,
    GrantRequest,
    GrantSerializer,
    PlanPage,
    PlanSerializer,
    RevocationSerializer,
    RevokeRequest,
)
from keystore.authentication import caller_of, project_named
from keystore.errors import ConsumerNotFound
from keystore.idempotency import IdempotentWrites
from keystore.ids import new_id
from keystore.models import Consumer, Project
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.selectors import consumer_of
from keystore.serializers import checked
from keystore.services import register_consumer

CACHE_CONTROL = "private, max-age=0, must-revalidate"
SECOND = timedelta(seconds=1)
PAGE = [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]
IDEMPOTENCY_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class PreconditionFailed(DomainError):
    """The answer is another one than the ETag that was asked for."""

    code = "precondition_failed"
    status = 412


class EntitlementsView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        parameters=[AnswerQuery, OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER)],
        responses={200: AnswerSerializer, 304: None},
        summary="What a user may use",
    )
    def get(self, request: Request) -> HttpResponseBase:
        """An unknown user gets an empty list. The ETag changes when the answer does."""
        query = checked(AnswerQuery, request.query_params)
        project = project_named(request, query)
        consumer = consumer_of(project=project, user_id=query["user_id"])
        at = now()
        if consumer is None:
            body = empty_body(user_id=query["user_id"], project_id=project.pk)
            etag = etag_of(body)
        else:
            answer = selectors.answer_of(consumer=consumer, at=at)
            body, etag = answer.body, answer.etag
        if query["explain"]:
            return _uncached({**orjson.loads(body), "explain": _explained(consumer, at)})
        return _conditional(request._request, body, etag)


class ExplainView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(
        parameters=[ExplainQuery],
        responses=ExplanationSerializer,
        summary="Why a user may or may not use a feature",
    )
    def get(self, request: Request) -> Response:
        """The grant that decides, those that do not and why, and what will change when."""
        query = checked(ExplainQuery, request.query_params)
        project = project_named(request, query)
        feature = selectors.feature_by_code(
            project=project, code=query["feature_code"], location="query"
        )
        consumer = consumer_of(project=project, user_id=query["user_id"])
        if consumer is None:
            raise ConsumerNotFound("There is no such user in this project: check user_id.")
        explained = selectors.explain_feature(consumer=consumer, feature=feature, at=now())
        return _uncached(ExplanationSerializer(explained).data)


class GrantView(IdempotentWrites):
    permission_classes = [scope("grants:write")]

    @extend_schema(
        request=GrantRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: GrantSerializer},
        summary="Give a user a feature or a plan",
    )
    def post(self, request: Request) -> Response:
        """The user need not be known yet. A feature of kind limit needs `limit`, null: unlimited.

        A valid_to that has passed, sent without valid_from, is recorded as a grant of the one
        second before it: the record is kept, nothing is opened, and `warning` says so.
        """
        wish = checked(GrantRequest, request.data)
        project, at = project_named(request, wish), now()
        opened = _opened(project, wish)
        consumer, created = _consumer(project, wish["user_id"])
        grant = services.give_grant(
            consumer=consumer,
            valid_from=_start(wish, at),
            valid_to=wish.get("valid_to"),
            reason=wish["reason"],
            granted_by=wish["granted_by"],
            ticket=wish.get("ticket", ""),
            idempotency_key=_idempotency_key(request),
            actor=caller_of(request).actor,
            at=at,
            **opened,
        )
        told = {"at": at, "consumer_created": created}
        return Response(GrantSerializer(grant, context=told).data, status=201)


class RevokeView(IdempotentWrites):
    permission_classes = [scope("grants:write")]

    @extend_schema(
        request=RevokeRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses=RevocationSerializer,
        summary="Take a feature away from a user",
    )
    def post(self, request: Request) -> Response:
        """Ends what staff gave, and denies what plans have opened until now, renewals included."""
        wish = checked(RevokeRequest, request.data)
        project = project_named(request, wish)
        feature = selectors.feature_by_code(project=project, code=wish["feature_code"])
        consumer = consumer_of(project=project, user_id=wish["user_id"])
        done = services.Revocation(ended=(), denial=None)
        if consumer is not None:
            done = services.revoke_feature(
                consumer=consumer,
                feature=feature,
                reason=wish["reason"],
                revoked_by=wish["revoked_by"],
                idempotency_key=_idempotency_key(request),
                actor=caller_of(request).actor,
                at=now(),
            )
        return Response(
            {
                "user_id": wish["user_id"],
                "project_id": project.pk,
                "feature_code": feature.code,
                "changed": done.changed,
                "active": False,
                "ended": [grant.public_id for grant in done.ended],
                "denial": done.denial.public_id if done.denial else None,
            }
        )


class FeaturesView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(parameters=PAGE, responses=FeaturePage, summary="Features of the project")
    def get(self, request: Request) -> Response:
        page = page_of(
            selectors.features_of(project=caller_of(request).project), request.query_params
        )
        return Response(page.body(list(FeatureSerializer(page.rows, many=True).data)))


class PlansView(APIView):
    permission_classes = [scope("entitlements:read")]

    @extend_schema(parameters=PAGE, responses=PlanPage, summary="Public plans of the project")
    def get(self, request: Request) -> Response:
        plans = selectors.public_plans_of(project=caller_of(request).project)
        page = page_of(plans, request.query_params)
        return Response(page.body(list(PlanSerializer(page.rows, many=True).data)))


def _consumer(project: Project, user_id: str) -> tuple[Consumer, bool]:
    """The user, made known if the app names it for the first time by its own id, and whether so."""
    known = consumer_of(project=project, user_id=user_id)
    if known is not None:
        return known, False
    return register_consumer(project=project, external_id=user_id), True


def _opened(project: Project, wish: dict[str, Any]) -> dict[str, Any]:
    """The plan, or the feature with its value, that is to be given."""
    if "plan_code" in wish:
        plan = selectors.plan_by_code(project=project, code=wish["plan_code"])
        return {"plan": plan, "limit": wish.get("limit"), "config": wish.get("config")}
    feature = selectors.feature_by_code(project=project, code=wish["feature_code"])
    if feature.kind == FeatureKind.LIMIT and "limit" not in wish:
        raise _wrong("limit", "This feature needs a limit.", "Send a number; null is unlimited.")
    return {"feature": feature, "limit": wish.get("limit"), "config": wish.get("config")}


def _start(wish: dict[str, Any], at: datetime) -> datetime | None:
    """When the grant starts; see GrantView.post for one that ended before it was given."""
    start: datetime | None = wish.get("valid_from")
    end: datetime | None = wish.get("valid_to")
    if start is None:
        return end - SECOND if end is not None and end <= at else None
    if end is not None and end <= start:
        raise _wrong("valid_to", "The end must be later than the start.", "Send a later instant.")
    if end is not None and end <= at:
        raise _wrong("valid_to", "The end has passed.", "Send an instant to come, or none.")
    return start


def _idempotency_key(request: Request) -> str:
    """The caller's own key, apart from those of other apps; a new one if it sent none."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return new_id("req")
    return sha256(f"{caller_of(request).app.public_id}:{request.path}:{given}".encode()).hexdigest()


def _explained(consumer: Consumer | None, at: datetime) -> Any:
    found = selectors.explain_all(consumer=consumer, at=at) if consumer else []
    return ExplanationSerializer(found, many=True).data


def _conditional(request: HttpRequest, body: str, etag: str) -> HttpResponseBase:
    response = HttpResponse(body, content_type="application/json")
    response["ETag"] = f'"{etag}"'
    response["Cache-Control"] = CACHE_CONTROL
    etagged = get_conditional_response(request, etag=response["ETag"], response=response)
    conditional = cast(HttpResponseBase, etagged)  # None only when it is given no response
    if conditional.status_code == PreconditionFailed.status:
        raise PreconditionFailed("The answer has another ETag by now. Ask without If-Match.")
    conditional["Cache-Control"] = CACHE_CONTROL
    return conditional


def _uncached(data: Any) -> Response:
    return Response(data, headers={"Cache-Control": "no-store"})


def _wrong(field: str, message: str, fix: str) -> InvalidInput:
    error = {"location": f"body.{field}", "message": message, "fix": fix}
    return InvalidInput(message, errors=[error])
