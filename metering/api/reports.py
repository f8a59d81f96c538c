"""Usage over HTTP: how much, of whom, when; as JSON or as CSV."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import InvalidInput
from keystore.authentication import caller_of
from keystore.csvfile import csv_lines
from keystore.errors import ConsumerNotFound
from keystore.models import Api, ApiKey, Consumer, Project
from keystore.permissions import scope
from keystore.selectors import consumer_of
from keystore.serializers import checked
from metering.amounts import shown
from metering.api.report_shapes import UsageQuery, UsageReport
from metering.errors import UnknownApi, UnknownKey
from metering.models import Meter
from metering.selectors import meter_by_code
from metering.usage import OWNERS, UsageShown, UsageWish, usage_of
from metering.windows import span_of, zone_named

MOST_ROWS = 10_000


class CsvRenderer(BaseRenderer):
    """Named so that `Accept: text/csv` is understood; the view streams the lines itself."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *_: Any) -> bytes:
        return JSONRenderer().render(data)


class UsageView(APIView):
    permission_classes = [scope("usage:read")]
    renderer_classes = [JSONRenderer, CsvRenderer]

    @extend_schema(
        operation_id="usage",
        summary="How much was used",
        parameters=[UsageQuery, OpenApiParameter("format", enum=["json", "csv"])],
        responses={
            (200, "application/json"): UsageReport,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """By window and group, right to the last event. Windows without usage are left out.

        As CSV with `Accept: text/csv` or `format=csv`, without a bound on the rows.
        """
        wish = wish_of(caller_of(request).project, checked(UsageQuery, request.query_params))
        if request.accepted_renderer.format == "csv":
            return _csv(wish)
        rows = list(islice(usage_of(wish), MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            raise InvalidInput(
                f"This is more than {MOST_ROWS:,} lines: ask for less time, a longer window or "
                "fewer groups, or for CSV."
            )
        return Response(
            {
                "meter": wish.meter.code,
                "unit": wish.meter.unit,
                "aggregation": wish.meter.aggregation,
                "window": wish.window,
                "timezone": wish.zone.key,
                "from": wish.span.start.astimezone(wish.zone).isoformat(),
                "to": wish.span.end.astimezone(wish.zone).isoformat(),
                "data": [line_of(row) for row in rows],
            },
            headers={"Cache-Control": "no-store"},
        )


def wish_of(project: Project, query: Mapping[str, Any]) -> UsageWish:
    """What the query asks, in the words of the project. Raises for what does not exist."""
    meter = meter_by_code(project=project, code=query["meter"], location="query.meter")
    zone = zone_named(query["timezone"])
    return UsageWish(
        meter=meter,
        window=query["window"],
        zone=zone,
        span=span_of(
            start=query["from"], end=query["to"], window=query["window"], zone=zone, at=now()
        ),
        consumer=_consumer(project, query["user_id"]),
        api=_api(project, query["api"]),
        key=_key(project, query["key"]),
        group_by=_groups(meter, query["group_by"]),
    )


def _consumer(project: Project, user_id: str) -> Consumer | None:
    found = consumer_of(project=project, user_id=user_id) if user_id else None
    if user_id and found is None:
        raise ConsumerNotFound("There is no such user in this project: check user_id.")
    return found


def _api(project: Project, name: str) -> Api | None:
    if not name:
        return None
    apis = Api.objects.filter(project=project)
    found = apis.filter(code=name).first() or apis.filter(public_id=name).first()
    if found is None:
        raise UnknownApi("There is no such API in this project: check api.")
    return found


def _key(project: Project, name: str) -> ApiKey | None:
    found = ApiKey.objects.filter(project=project, public_id=name).first() if name else None
    if name and found is None:
        raise UnknownKey("There is no such key in this project: check key.")
    return found


def _groups(meter: Meter, text: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, text.replace(" ", "").split(","))))
    known = [*OWNERS, *meter.dimensions]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput(
            f"This meter cannot be grouped by {unknown[0]!r}.",
            errors=[
                {
                    "location": "query.group_by",
                    "message": f"{unknown[0]!r} is not known.",
                    "fix": f"Use any of: {', '.join(known)}.",
                }
            ],
        )
    return names


def line_of(row: UsageShown) -> dict[str, Any]:
    return {
        "start": row.start.isoformat(),
        "end": row.end.isoformat(),
        "quantity": shown(row.quantity),
        "events": row.events,
        "groups": row.groups,
    }


def _csv(wish: UsageWish) -> HttpResponseBase:
    return StreamingHttpResponse(
        csv_lines(_table(wish)),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="usage-{wish.meter.code}.csv"',
            "Cache-Control": "no-store",
        },
    )


def _table(wish: UsageWish) -> Iterator[list[object]]:
    yield ["meter", "start", "end", *wish.group_by, "quantity", "events"]
    for row in usage_of(wish):
        quantity = f"{row.quantity.normalize():f}"
        groups = [row.groups[name] for name in wish.group_by]
        yield [
            *(wish.meter.code, row.start.isoformat(), row.end.isoformat(), *groups),
            *(quantity, row.events),
        ]
