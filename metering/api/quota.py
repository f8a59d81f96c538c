"""Quotas over HTTP: what is left, keeping a part back, credits on top."""

from hashlib import sha256
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from keystore.authentication import caller_of
from keystore.errors import ConsumerNotFound
from keystore.idempotency import IdempotentWrites
from keystore.ids import new_id
from keystore.models import Consumer, Project
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.selectors import consumer_of
from keystore.serializers import Problem, checked
from metering import services
from metering.api.quota_shapes import (
    GiveCreditsRequest,
    NothingAsked,
    PackPage,
    PackShown,
    QuotaLine,
    QuotaQuery,
    QuotasShown,
    ReservationShown,
    ReserveRequest,
    RevokeCreditsRequest,
    SettleRequest,
    UserAsked,
)
from metering.credits import pack_by_id
from metering.reservations import reservation_by_id
from metering.selectors import credits_of, meter_by_code, quota_of

IDEMPOTENCY_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
PAGE = [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]
REFUSED = {403: Problem, 404: Problem, 429: Problem}


class QuotaView(APIView):
    permission_classes = [scope("usage:read")]

    @extend_schema(
        operation_id="quota",
        summary="What a user has left",
        parameters=[QuotaQuery],
        responses={200: QuotasShown, 404: Problem},
    )
    def get(self, request: Request) -> Response:
        """Every limit that the user is entitled to, as it stands now. Nobody has no quotas."""
        query = checked(QuotaQuery, request.query_params)
        project = caller_of(request).project
        code = query["meter"]
        meter = meter_by_code(project=project, code=code, location="query.meter") if code else None
        consumer = consumer_of(project=project, user_id=query["user_id"])
        limited = meter is None or meter.feature is not None
        found = quota_of(consumer=consumer, meter=meter, at=now()) if consumer and limited else []
        body = {"user_id": query["user_id"], "quotas": QuotaLine(found, many=True).data}
        return Response(body, headers={"Cache-Control": "no-store"})


class ReservationsView(IdempotentWrites):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="quota_reserve",
        summary="Keep a part of a quota back",
        request=ReserveRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: ReservationShown, **REFUSED},
    )
    def post(self, request: Request) -> Response:
        """For a use whose size is known only when it is over. Nobody else can take it meanwhile."""
        asked = checked(ReserveRequest, request.data)
        project = caller_of(request).project
        meter = meter_by_code(project=project, code=asked["meter"])
        reservation = services.reserve_quota(
            consumer=known_consumer(project, asked["user_id"]),
            meter=meter,
            quantity=asked["quantity"],
            ttl_seconds=asked["ttl_seconds"],
            at=now(),
        )
        return Response(_reservation(project, reservation.public_id), status=201)


class SettleView(IdempotentWrites):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="quota_settle",
        summary="Say how much of it was used",
        request=SettleRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ReservationShown, 404: Problem, 409: Problem, 429: Problem},
    )
    def post(self, request: Request, reservation_id: str) -> Response:
        """The rest is free again; more than was kept back takes the difference if that fits."""
        asked = checked(SettleRequest, request.data)
        project = caller_of(request).project
        services.settle_reservation(
            reservation=reservation_by_id(project=project, reservation_id=reservation_id),
            quantity=asked["quantity"],
            at=now(),
        )
        return Response(_reservation(project, reservation_id))


class ReleaseView(IdempotentWrites):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="quota_release",
        summary="Free what was kept back",
        request=NothingAsked,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ReservationShown, 404: Problem, 409: Problem},
    )
    def post(self, request: Request, reservation_id: str) -> Response:
        """Nothing was used. The same again changes nothing."""
        checked(NothingAsked, request.data)
        project = caller_of(request).project
        services.release_reservation(
            reservation=reservation_by_id(project=project, reservation_id=reservation_id),
            at=now(),
        )
        return Response(_reservation(project, reservation_id))


class CreditsView(IdempotentWrites):
    def get_permissions(self) -> list[Any]:
        reads = self.request is None or self.request.method in {"GET", "HEAD", "OPTIONS"}
        return [scope("usage:read" if reads else "grants:write")()]

    @extend_schema(
        operation_id="credits_list",
        summary="The credits of a user",
        parameters=[UserAsked, *PAGE],
        responses={200: PackPage, 404: Problem},
    )
    def get(self, request: Request) -> Response:
        """Every pack, spent and ended ones included, newest first."""
        query = checked(UserAsked, request.query_params)
        consumer = known_consumer(caller_of(request).project, query["user_id"], "query.user_id")
        page = page_of(credits_of(consumer=consumer), request.query_params)
        shown = PackShown(page.rows, many=True, context={"at": now()})
        return Response(page.body(list(shown.data)))

    @extend_schema(
        operation_id="credits_give",
        summary="Give a user credits",
        request=GiveCreditsRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: PackShown, 404: Problem},
    )
    def post(self, request: Request) -> Response:
        """Units that pay for what the limit of the user's plan does not cover."""
        asked, at = checked(GiveCreditsRequest, request.data), now()
        caller = caller_of(request)
        consumer = known_consumer(caller.project, asked.pop("user_id"))
        pack = services.give_credits(
            consumer=consumer,
            meter=meter_by_code(project=caller.project, code=asked.pop("meter")),
            given_by=caller.actor,
            actor=caller.actor,
            idempotency_key=_idempotency_key(request),
            at=at,
            **asked,
        )
        return Response(PackShown(pack, context={"at": at}).data, status=201)


class RevokeCreditsView(IdempotentWrites):
    permission_classes = [scope("grants:write")]

    @extend_schema(
        operation_id="credits_revoke",
        summary="Take back what is left of credits",
        request=RevokeCreditsRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: PackShown, 404: Problem},
    )
    def post(self, request: Request, pack_id: str) -> Response:
        """What was spent stays spent. The same again changes nothing."""
        asked, at = checked(RevokeCreditsRequest, request.data), now()
        caller = caller_of(request)
        pack = pack_by_id(project=caller.project, pack_id=pack_id)
        services.revoke_credits(pack=pack, reason=asked["reason"], actor=caller.actor, at=at)
        pack.refresh_from_db()
        return Response(PackShown(pack, context={"at": at}).data)


def known_consumer(project: Project, user_id: str, location: str = "body.user_id") -> Consumer:
    consumer = consumer_of(project=project, user_id=user_id)
    if consumer is None:
        fix = "Check user_id, or register it with POST /api/v1/consumers/register."
        raise ConsumerNotFound(
            "There is no such user in this project: check user_id.",
            errors=[{"location": location, "message": "This user is not known.", "fix": fix}],
        )
    return consumer


def _reservation(project: Project, reservation_id: str) -> dict[str, Any]:
    found = reservation_by_id(project=project, reservation_id=reservation_id)
    return dict(ReservationShown(found).data)


def _idempotency_key(request: Request) -> str:
    """The caller's own key, apart from those of other apps; a new one if it sent none."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return new_id("req")
    return sha256(f"{caller_of(request).app.public_id}:{request.path}:{given}".encode()).hexdigest()
