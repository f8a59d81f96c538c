"""One event over HTTP: what became of it, taking it back, putting it right."""

from typing import Any

import orjson
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from keystore.authentication import caller_of
from keystore.idempotency import IdempotentWrites
from keystore.permissions import scope
from keystore.serializers import Problem, checked
from metering.api.usage_shapes import (
    AmendRequest,
    EventNamed,
    EventStatusShown,
    VoidRequest,
)
from metering.corrections import amend_event, void_event
from metering.status import EventStatus, event_status
from metering.told import quantity_of

SOURCE = OpenApiParameter("source", description="Who made the id; as it was sent.")
REFUSED = {404: Problem, 409: Problem, 429: Problem}


class EventView(APIView):
    permission_classes = [scope("usage:read")]

    @extend_schema(
        operation_id="usage_event",
        summary="What became of an event",
        parameters=[SOURCE],
        responses={200: EventStatusShown, 404: Problem},
    )
    def get(self, request: Request, event_id: str) -> Response:
        """Whether it is counted, in which period, or why not. By the app's id of it, or by ours."""
        found = event_status(
            project=caller_of(request).project,
            event_id=event_id,
            source=checked(EventNamed, request.query_params)["source"],
        )
        return _shown(found)


class VoidView(IdempotentWrites):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="usage_event_void",
        summary="Take an event back",
        request=VoidRequest,
        parameters=[SOURCE],
        responses={200: EventStatusShown, **REFUSED},
    )
    def post(self, request: Request, event_id: str) -> Response:
        """It counts no more; quota and credits are given back. Again, it changes nothing."""
        return _corrected(request, event_id, VoidRequest)


class AmendView(IdempotentWrites):
    permission_classes = [scope("usage:write")]

    @extend_schema(
        operation_id="usage_event_amend",
        summary="Put an event right",
        request=AmendRequest,
        parameters=[SOURCE],
        responses={200: EventStatusShown, **REFUSED},
    )
    def post(self, request: Request, event_id: str) -> Response:
        """It counts with another quantity or other properties, in the same period."""
        return _corrected(request, event_id, AmendRequest)


def _corrected(request: Request, event_id: str, shape: Any) -> Response:
    asked = checked(shape, request.data)
    source = checked(EventNamed, request.query_params)["source"]
    caller, at = caller_of(request), now()
    named: dict[str, Any] = {"project": caller.project, "event_id": event_id, "source": source}
    told = {"reason": asked["reason"], "actor": caller.actor, "at": at}
    if shape is VoidRequest:
        void_event(**named, **told)
    else:
        properties, quantity = asked.get("properties"), asked.get("quantity")
        amend_event(
            **named,
            quantity=None if quantity is None else quantity_of(orjson.dumps(quantity)),
            properties=None if properties is None else orjson.dumps(properties),
            **told,
        )
    return _shown(event_status(**named))


def _shown(found: EventStatus) -> Response:
    return Response(EventStatusShown(found).data, headers={"Cache-Control": "no-store"})
