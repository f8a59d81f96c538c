"""The webhook desk over HTTP: events, replays of ranges, and the sweep of Stripe's list."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import replays
from billing.api.inbox_shapes import (
    EventPageSerializer,
    EventsQuery,
    OneEventSerializer,
    RangeRequest,
    RunSerializer,
    SweepRequest,
    SweepSerializer,
    shown_event,
    shown_run,
    shown_whole_event,
)
from billing.missed import sweep_again
from billing.models import ReplayRun
from billing.selectors import inbox_events_of, inbox_of
from config.clock import now
from config.errors import InvalidInput, NotFound
from keystore.authentication import caller_of
from keystore.permissions import scope
from keystore.serializers import checked


class InboxView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(
        parameters=[EventsQuery],
        responses={200: EventPageSerializer},
        summary="Stripe's events of a project",
    )
    def get(self, request: Request) -> Response:
        """The newest first; without their payloads."""
        asked = checked(EventsQuery, request.query_params)
        project = caller_of(request).project
        rows = inbox_of(project=project, **{name: asked.get(name) for name in FILTERS})
        if cursor := asked.get("cursor"):
            start = rows.filter(event_id=cursor).values_list("pk", flat=True).first()
            if start is None:
                raise InvalidInput("This cursor is not known: start again without one.")
            rows = rows.filter(pk__lt=start)
        found = list(rows.defer("payload").order_by("-pk")[: asked["limit"] + 1])
        page, more = found[: asked["limit"]], len(found) > asked["limit"]
        return Response(
            {
                "data": [shown_event(event) for event in page],
                "next_cursor": page[-1].event_id if more else None,
                "has_more": more,
            }
        )


FILTERS = ("state", "type", "failure", "since", "until")


class InboxEventView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(responses={200: OneEventSerializer}, summary="One of Stripe's events")
    def get(self, request: Request, event_id: str) -> Response:
        """With its tries, what it led to, and what Stripe sent."""
        found = inbox_events_of(project=caller_of(request).project, event_ids=[event_id])
        if not found:
            raise NotFound(f"There is no event {event_id}.")
        return Response(shown_whole_event(found[0]))


class ReplaysView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(
        request=RangeRequest, responses={202: RunSerializer}, summary="Replay a range of events"
    )
    def post(self, request: Request) -> Response:
        """Of the project's own customers. Worked off bit by bit: ask the run how far it is."""
        asked, caller = checked(RangeRequest, request.data), caller_of(request)
        run = replays.start_replay(
            choice=replays.Choice(
                type=asked["type"],
                state=asked.get("state", ""),
                failure=asked["failure"],
                since=asked.get("since"),
                until=asked.get("until"),
                project=caller.project,
            ),
            dry_run=asked["dry_run"],
            reason=asked["reason"],
            actor=caller.actor,
            at=now(),
        )
        return Response(shown_run(run), status=202)


class ReplayRunView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(responses={200: RunSerializer}, summary="How far a replay is")
    def get(self, request: Request, replay_id: str) -> Response:
        """And what it found, if it is a dry run."""
        rows = ReplayRun.objects.filter(project=caller_of(request).project)
        run = rows.filter(public_id=replay_id).first()
        if run is None:
            raise NotFound(f"There is no replay {replay_id}.")
        return Response(shown_run(run))


class SweepView(APIView):
    permission_classes = [scope("inbox:write")]

    @extend_schema(
        request=SweepRequest, responses={202: SweepSerializer}, summary="Sweep Stripe's events"
    )
    def post(self, request: Request) -> Response:
        """Reads Stripe's own list of the last days again, for what never reached us."""
        asked, caller = checked(SweepRequest, request.data), caller_of(request)
        sweep = sweep_again(
            days=asked["days"], reason=asked["reason"], actor=caller.actor, at=now()
        )
        return Response({"read_until": sweep.read_until}, status=202)
