"""Creators over HTTP: becoming one, onboarding at Stripe, what was paid out."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import gateway
from billing.api.market_shapes import (
    CreatorRequest,
    CreatorShown,
    OnboardingRequest,
    OnboardingShown,
    Payouts,
    PayoutShown,
)
from billing.market.balances import balances_of
from billing.market.creators import become_creator, open_onboarding
from billing.market.statements import month_named, statement_csv, statement_page
from billing.models import Creator
from billing.origins import allowed_url
from config.clock import now
from config.errors import NotFound
from keystore.authentication import KEY_OR_TOKEN, asker_of, consumer_acting
from keystore.callers import EndUser
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked

WAIT_SECONDS = 12.0
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
PROBLEMS = {400: Problem, 401: Problem, 403: Problem, 404: Problem}


class CreatorNotFound(NotFound):
    code = "creator_not_found"


def creator_named(request: Request, creator_id: str) -> Creator:
    """The creator in the path: of the asker's project, and for an end user their own."""
    asker = asker_of(request)
    rows = Creator.objects.select_related("project", "consumer").filter(project=asker.project)
    if isinstance(asker, EndUser):
        rows = rows.filter(consumer=asker.consumer) if asker.consumer else rows.none()
    found = rows.filter(public_id=creator_id).first() if "\x00" not in creator_id else None
    if found is None:
        raise CreatorNotFound("There is no such creator.")
    return found


def shown(creator: Creator) -> Any:
    balances = balances_of(creator).items()
    creator.balances = [  # type: ignore[attr-defined]
        {"amount_minor": amount, "currency": currency} for currency, amount in balances
    ]
    return CreatorShown(creator).data


class MarketView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN

    def get_permissions(self) -> list[Any]:
        reads = self.request.method in {"GET", "HEAD", "OPTIONS"}
        return [own_or_scope("marketplace:read" if reads else "marketplace:write")()]


class CreatorsView(MarketView):
    @extend_schema(
        operation_id="creators_create",
        summary="Become a creator",
        request=CreatorRequest,
        parameters=[KEY],
        responses={200: CreatorShown, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """The user as a creator; asked again, the same one. A token speaks for its own user."""
        asked = checked(CreatorRequest, request.data)
        creator = become_creator(
            consumer=consumer_acting(request, asked["user_id"]),
            country=asked["country"],
            currency=asked["currency"],
            actor=asker_of(request).actor,
            at=now(),
        )
        return Response(shown(creator))


class CreatorView(MarketView):
    @extend_schema(
        operation_id="creators_retrieve",
        summary="A creator",
        responses={200: CreatorShown, **PROBLEMS},
    )
    def get(self, request: Request, creator_id: str) -> Response:
        """What Stripe still asks for, and the balance in each currency."""
        return Response(shown(creator_named(request, creator_id)))


class OnboardingView(MarketView):
    @extend_schema(
        operation_id="creators_onboarding",
        summary="Onboard a creator",
        request=OnboardingRequest,
        parameters=[KEY],
        responses={200: OnboardingShown, 422: Problem, 503: Problem, **PROBLEMS},
    )
    def post(self, request: Request, creator_id: str) -> Response:
        """A link to Stripe's page. It serves once, for minutes: ask for it when it is clicked."""
        creator = creator_named(request, creator_id)
        asked = checked(OnboardingRequest, request.data)
        urls = {
            name: allowed_url(asked[name], field=name, project=creator.project)
            for name in ("return_url", "refresh_url")
        }
        with gateway.deadline(WAIT_SECONDS):
            link = open_onboarding(creator=creator, actor=asker_of(request).actor, at=now(), **urls)
        return Response({"url": link.url, "expires_at": link.expires_at})


class CreatorPayoutsView(MarketView):
    @extend_schema(
        operation_id="creators_payouts",
        summary="What a creator was paid",
        parameters=[OpenApiParameter("limit", int), OpenApiParameter("cursor")],
        responses={200: Payouts, **PROBLEMS},
    )
    def get(self, request: Request, creator_id: str) -> Response:
        """Newest first. `problem` says why one came back."""
        creator = creator_named(request, creator_id)
        page = page_of(creator.payouts.all(), request.query_params)
        return Response(page.body(list(PayoutShown(page.rows, many=True).data)))


class StatementView(APIView):
    """One month of the ledger, for the books."""

    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("marketplace:read")]

    @extend_schema(
        operation_id="creators_statement",
        summary="A creator's statement",
        parameters=[OpenApiParameter("form", enum=["csv", "html"])],
        responses={(200, "text/csv"): str, (200, "text/html"): str, **PROBLEMS},
    )
    def get(self, request: Request, creator_id: str, month: str) -> HttpResponse:
        """Of a month (2026-11, in UTC), as CSV or with `form=html` as a page to print."""
        creator = creator_named(request, creator_id)
        period = month_named(month)
        if request.query_params.get("form") == "html":
            return statement_page(creator=creator, month=period)
        return HttpResponse(
            statement_csv(creator=creator, month=period),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="statement-{month}.csv"',
                "Cache-Control": "no-store",
            },
        )
