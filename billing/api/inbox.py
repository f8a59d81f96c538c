"""Replaying Stripe's events over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.inbox import NotReplayable, replay
from billing.models import InboxEvent
from billing.selectors import inbox_events_of
from billing.serializers import ReplayRequest, ReplaySerializer
from config.clock import now
from keystore.authentication import caller_of
from keystore.doorbell import ring
from keystore.permissions import scope
from keystore.serializers import checked


class ReplayView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(
        request=ReplayRequest, responses={200: ReplaySerializer}, summary="Replay events"
    )
    def post(self, request: Request) -> Response:
        """Works events off again. Safe at any time: what they lead to is Stripe's state now."""
        asked = checked(ReplayRequest, request.data)
        found = {
            event.event_id: event
            for event in inbox_events_of(
                project=caller_of(request).project, event_ids=asked["event_ids"]
            )
        }
        results = [
            _replay(found.get(event_id), event_id, request, asked["reason"])
            for event_id in dict.fromkeys(asked["event_ids"])
        ]
        ring("billing.tasks.work_inbox")
        done = sum(result["replayed"] is True for result in results)
        return Response({"replayed": done, "results": results})


def _replay(
    event: InboxEvent | None, event_id: str, request: Request, reason: str
) -> dict[str, object]:
    if event is None:
        return {"event_id": event_id, "replayed": False, "problem": "not found in this project"}
    try:
        replay(event=event, actor=caller_of(request).actor, reason=reason, at=now())
    except NotReplayable as refusal:
        return {"event_id": event_id, "replayed": False, "problem": refusal.message}
    return {"event_id": event_id, "replayed": True, "problem": None}
