"""Creators' APIs over HTTP: listed, priced, and what they were used and earned."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from billing import gateway
from billing.api.market import KEY, PROBLEMS, WAIT_SECONDS, MarketView
from billing.api.market_shapes import (
    ApiChange,
    ApiPage,
    ApiRequest,
    ApiShown,
    ApiUsageLine,
    ApiUsageQuery,
    ApiUsageShown,
    EarningsQuery,
    EarningsShown,
    OfferPage,
    OfferRequest,
    OfferShown,
    offer_shown,
)
from billing.catalog_spec import Tier
from billing.catalog_usage import plain
from billing.market.by_dimension import earned_by_dimension
from billing.market.listings import (
    ApiNotFound,
    apis_of,
    change_listing,
    find_api,
    list_api,
    published_apis,
)
from billing.market.offers import Offer, make_offer
from billing.market.reports import Asked, earned, earned_by, used
from billing.models import Creator
from billing.operations import run_operation
from config.clock import now
from config.errors import Conflict
from keystore.authentication import asker_of, consumer_acting, consumer_meant
from keystore.callers import EndUser
from keystore.csvfile import csv_lines
from keystore.models import Api
from keystore.pagination import page_of
from keystore.serializers import Problem, checked
from metering.api.reports import CsvRenderer
from metering.models import Meter
from metering.selectors import meter_by_code
from metering.windows import DAY, span_of, zone_named

PAGE = [OpenApiParameter("limit", int), OpenApiParameter("cursor")]


class NotACreator(Conflict):
    code = "not_a_creator"


def api_named(request: Request, api_id: str) -> Api:
    """The API in the path: of the asker's project, and for an end user their own."""
    asker = asker_of(request)
    only_own = isinstance(asker, EndUser)
    owner = asker.consumer if isinstance(asker, EndUser) else None
    return find_api(project=asker.project, name=api_id, owner=owner, only_own=only_own)


def listed(api: Api) -> Any:
    """The listing of an API. ApiNotFound for one that no creator sells."""
    found = getattr(api, "listing", None)
    if found is None:
        raise ApiNotFound("No creator sells this API.")
    return found


class ApisView(MarketView):
    @extend_schema(
        operation_id="apis_list",
        summary="A creator's APIs",
        parameters=[OpenApiParameter("user_id"), *PAGE],
        responses={200: ApiPage, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Newest first. A token lists its own; an app lists all, or those of `user_id`."""
        asker = asker_of(request)
        user_id = request.query_params.get("user_id", "")
        only_own = isinstance(asker, EndUser) or bool(user_id)
        owner = consumer_meant(request, user_id) if only_own else None
        rows = apis_of(project=asker.project, owner=owner, only_own=only_own)
        page = page_of(rows, request.query_params)
        return Response(page.body(list(ApiShown(page.rows, many=True).data)))

    @extend_schema(
        operation_id="apis_create",
        summary="List an API",
        request=ApiRequest,
        parameters=[KEY],
        responses={201: ApiShown, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """A new API of a creator; `published` shows it in the marketplace."""
        asked = checked(ApiRequest, request.data)
        consumer = consumer_acting(request, asked.pop("user_id"))
        creator = Creator.objects.select_related("consumer").filter(consumer=consumer).first()
        if creator is None:
            raise NotACreator("This user is no creator yet: send POST /api/v1/creators first.")
        listing = list_api(creator=creator, actor=asker_of(request).actor, at=now(), **asked)
        return Response(ApiShown(listing.api).data, status=201)


class ApiView(MarketView):
    @extend_schema(
        operation_id="apis_retrieve", summary="An API", responses={200: ApiShown, **PROBLEMS}
    )
    def get(self, request: Request, api_id: str) -> Response:
        """A creator's API with its plans."""
        api = api_named(request, api_id)
        listed(api)
        return Response(ApiShown(api).data)

    @extend_schema(
        operation_id="apis_change",
        summary="Change an API",
        request=ApiChange,
        parameters=[KEY],
        responses={200: ApiShown, **PROBLEMS},
    )
    def patch(self, request: Request, api_id: str) -> Response:
        """Only what is sent. What was bought stays when it is not published any more."""
        listing = listed(api_named(request, api_id))
        asked = checked(ApiChange, request.data)
        change_listing(listing=listing, actor=asker_of(request).actor, at=now(), **asked)
        return Response(ApiShown(api_named(request, api_id)).data)


class ApiPlansView(MarketView):
    @extend_schema(
        operation_id="apis_plans",
        summary="The plans of an API",
        parameters=PAGE,
        responses={200: OfferPage, **PROBLEMS},
    )
    def get(self, request: Request, api_id: str) -> Response:
        """With the prices that are on sale."""
        api = api_named(request, api_id)
        plans = api.plans.prefetch_related("prices").order_by("-pk")
        page = page_of(plans, request.query_params)
        return Response(page.body([offer_shown(plan) for plan in page.rows]))

    @extend_schema(
        operation_id="apis_plans_create",
        summary="Offer a plan",
        request=OfferRequest,
        parameters=[KEY],
        responses={201: OfferShown, 202: OfferShown, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, api_id: str) -> Response:
        """Free, by subscription, once, by use or in tiers. 202: Stripe has not answered yet; the
        price follows by itself.
        """
        listing = listed(api_named(request, api_id))
        asked = checked(OfferRequest, request.data)
        made = make_offer(
            listing=listing, offer=_offer(asked), actor=asker_of(request).actor, at=now()
        )
        with gateway.deadline(WAIT_SECONDS):
            run_operation(operation=made.operation, at=now())
        if made.operation.state == "failed":
            raise gateway.StripeRefused(f"Stripe refused the price: {made.operation.error}")
        done = made.operation.state == "done"
        return Response(offer_shown(made.plan), status=201 if done else 202)


def _offer(asked: dict[str, Any]) -> Offer:
    tiers = tuple(
        Tier(tier["up_to"], plain(tier["unit_amount"]), plain(tier["flat_amount"]))
        for tier in asked.pop("tiers")
    )
    unit = asked.pop("unit_amount")
    return Offer(**asked, unit_amount="" if unit is None else plain(unit), tiers=tiers)


class MarketplaceView(MarketView):
    @extend_schema(
        operation_id="marketplace",
        summary="What is for sale",
        parameters=PAGE,
        responses={200: ApiPage, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """The published APIs of all creators, newest first."""
        page = page_of(published_apis(project=asker_of(request).project), request.query_params)
        return Response(page.body(list(ApiShown(page.rows, many=True).data)))


# --- Reports -------------------------------------------------------------------------------------


def asked_of(request: Request, api_id: str, query: dict[str, Any]) -> Asked:
    zone = zone_named(query["timezone"])
    span = span_of(start=query["from"], end=query["to"], window=DAY, zone=zone, at=now())
    return Asked(api_named(request, api_id), span, zone)


def _head(asked: Asked) -> dict[str, Any]:
    return {
        "api": asked.api.public_id,
        "timezone": asked.zone.key,
        "from": asked.span.start.astimezone(asked.zone).isoformat(),
        "to": asked.span.end.astimezone(asked.zone).isoformat(),
    }


def _csv(name: str, rows: Iterator[dict[str, Any]], columns: Iterable[str]) -> HttpResponseBase:
    table = ([row.get(column, "") for column in columns] for row in rows)
    return StreamingHttpResponse(
        csv_lines([list(columns), *table]),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
        },
    )


EARNINGS: tuple[str, ...] = (
    *("group", "currency", "sales_minor", "taken_back_minor", "tax_minor"),
    *("commission_minor", "stripe_fee_minor", "net_minor"),
)


class ApiEarningsView(MarketView):
    renderer_classes = [JSONRenderer, CsvRenderer]

    @extend_schema(
        operation_id="apis_earnings",
        summary="What an API earned",
        parameters=[EarningsQuery],
        responses={
            (200, "application/json"): EarningsShown,
            (200, "text/csv"): OpenApiTypes.STR,
            **PROBLEMS,
        },
    )
    def get(self, request: Request, api_id: str) -> HttpResponseBase:
        """Totals per currency, and by day, plan, consumer or a dimension of the usage; as CSV
        with `Accept: text/csv`.
        """
        query = checked(EarningsQuery, request.query_params)
        asked = asked_of(request, api_id, query)
        currency, columns = query["currency"], EARNINGS
        if query["dimension"]:
            rows = earned_by_dimension(asked, query["dimension"], currency=currency)
            columns = (*EARNINGS, "not_split")
        else:
            rows = earned_by(asked, query["breakdown"] or "day", currency=currency)
        if request.accepted_renderer.format == "csv":
            return _csv(f"earnings-{asked.api.code}", rows, columns)
        totals = earned(asked, currency=currency)
        return Response({**_head(asked), "totals": totals, "data": list(rows)})


class ApiUsageView(MarketView):
    renderer_classes = [JSONRenderer, CsvRenderer]

    @extend_schema(
        operation_id="apis_usage",
        summary="What an API was used",
        parameters=[ApiUsageQuery],
        responses={
            (200, "application/json"): ApiUsageShown,
            (200, "text/csv"): OpenApiTypes.STR,
            **PROBLEMS,
        },
    )
    def get(self, request: Request, api_id: str) -> HttpResponseBase:
        """Totals per meter, and by day, plan, consumer or a dimension; as CSV with
        `Accept: text/csv`.
        """
        query = checked(ApiUsageQuery, request.query_params)
        asked = asked_of(request, api_id, query)
        meters = self._meters(asked, query["meter"])
        breakdown = "" if query["dimension"] else query["breakdown"] or "day"
        rows = used(asked, meters, breakdown=breakdown, dimension=query["dimension"])
        if request.accepted_renderer.format == "csv":
            told = ({**row, "quantity": f"{row['quantity'].normalize():f}"} for row in rows)
            return _csv(f"usage-{asked.api.code}", told, ("meter", "unit", "group", "quantity"))
        lines = ApiUsageLine(list(rows), many=True).data
        totals = ApiUsageLine(list(used(asked, meters)), many=True).data
        return Response({**_head(asked), "totals": totals, "data": lines})

    def _meters(self, asked: Asked, code: str) -> list[Meter]:
        project = asked.api.project
        if code:
            return [meter_by_code(project=project, code=code, location="query.meter")]
        return list(Meter.objects.filter(project=project, archived_at=None).order_by("code"))
