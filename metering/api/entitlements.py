"""What a user may use, with what is left of it when that is asked for.

The stored answer does not change with each use, so its ETag holds; figures come with ?usage=true.
"""

from datetime import datetime
from typing import Any

import orjson
from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now
from entitlements.api import EntitlementsView, ExplainView
from entitlements.serializers import AnswerQuery, ExplainQuery
from keystore.authentication import caller_of
from keystore.models import Project
from keystore.selectors import consumer_of
from metering.amounts import shown
from metering.api.report_shapes import UsedAnswer, UsedExplanation
from metering.checking import known_of
from metering.selectors import QuotaShown

TRUE = {"1", "true", "True", "yes", "on"}
USAGE = OpenApiParameter("usage", bool, description="Also `used`, `remaining`, `resets_at`.")
FIGURES = ("used", "reserved", "remaining", "credits", "resets_at")


class UsedEntitlementsView(EntitlementsView):
    @extend_schema(
        parameters=[
            AnswerQuery,
            USAGE,
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER),
        ],
        responses={200: UsedAnswer, 304: None},
        summary="What a user may use",
    )
    def get(self, request: Request) -> HttpResponseBase:
        """An unknown user gets an empty list. The ETag changes when the answer does.

        With `usage=true` each entitlement that is counted also tells what is left, without ETag.
        """
        if not wants_usage(request):
            return super().get(request)
        request._request.META.pop("HTTP_IF_NONE_MATCH", None)
        stored = super().get(request)
        answer = stored.data if isinstance(stored, Response) else orjson.loads(content_of(stored))
        quotas = quotas_now(caller_of(request).project, request.query_params["user_id"], now())
        for one in answer["entitlements"]:
            one.update(figures(quotas.get(one["feature_code"])))
        return Response(answer, headers={"Cache-Control": "no-store"})


class UsedExplainView(ExplainView):
    @extend_schema(
        parameters=[ExplainQuery, USAGE],
        responses=UsedExplanation,
        summary="Why a user may or may not use a feature",
    )
    def get(self, request: Request) -> Response:
        """The grant that decides, those that do not and why, and what will change when.

        With `usage=true` also `usage`: what is left now.
        """
        response = super().get(request)
        if wants_usage(request):
            query = request.query_params
            quotas = quotas_now(caller_of(request).project, query["user_id"], now())
            response.data = {**response.data, "usage": figures(quotas.get(query["feature_code"]))}
        return response


def content_of(response: HttpResponseBase) -> bytes:
    assert isinstance(response, HttpResponse)  # the stored answer never streams
    return response.content


def wants_usage(request: Request) -> bool:
    return request.query_params.get("usage", "") in TRUE


def quotas_now(project: Project, user_id: str, at: datetime) -> dict[str, QuotaShown]:
    """What is left of each limit of the user, by the feature's code."""
    consumer = consumer_of(project=project, user_id=user_id)
    return dict(known_of(consumer=consumer, at=at).quotas) if consumer else {}


def figures(quota: QuotaShown | None) -> dict[str, Any]:
    """null: nothing is counted for it; `remaining` null as well when it is unlimited."""
    if quota is None or not quota.terms.entitled:
        return dict.fromkeys(FIGURES)
    left = quota.left
    return {
        "used": shown(left.used),
        "reserved": shown(left.reserved),
        "remaining": shown(left.remaining),
        "credits": shown(left.credits),
        "resets_at": quota.resets_at,
    }
