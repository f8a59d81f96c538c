"""The gateway's questions: whose key is this, and may it do this now?"""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from keystore.addresses import remote_address
from keystore.authentication import AppKeyAuthentication, caller_of
from keystore.credentials import token_in
from keystore.openapi import KEY_ASKED_ABOUT
from keystore.permissions import scope
from keystore.serializers import Problem, checked
from metering.api.check import needs
from metering.decide import Decision, decide, identify
from metering.serializers import LARGEST_COST, DecisionShown, VerifyRequest, WhoamiShown

DECISION_HEADERS = [
    OpenApiParameter(name, location=OpenApiParameter.HEADER, response=True, description=meaning)
    for name, meaning in {
        "X-Latchkey-Code": "VALID, or why the key is refused.",
        "X-Consumer": "The app's own id of the user; percent-encoded if it must be.",
        "X-Consumer-Id": "con_...",
        "X-Plan": "Code of the plan.",
        "X-Key-Id": "key_...",
        "X-Key-Environment": "live or test.",
        "X-RateLimit-Limit": "Requests in the window of the tightest limit; empty: unlimited.",
        "X-RateLimit-Remaining": "Requests that fit now.",
        "X-RateLimit-Reset": "Seconds until all of them fit again.",
        "X-Quota-Limit": "Of the meter's quota; empty: unlimited, or no meter was named.",
        "X-Quota-Remaining": "What is left of it.",
        "X-Quota-Reset": "Seconds until it starts anew; empty: never.",
        "Retry-After": "Seconds to wait; 0 unless the status is 429.",
    }.items()
]
KEY_HEADER = OpenApiParameter(
    "X-API-Key",
    location=OpenApiParameter.HEADER,
    description="The consumer's key; `Authorization: Bearer` serves as well.",
)
PROJECT = OpenApiParameter(
    "project",
    description="Number, slug or id of the gateway's project: keys of others are unknown.",
)
ENVIRONMENT = OpenApiParameter(
    "environment", description="live or test: keys of the other environment are unknown."
)


class WhoamiView(APIView):
    # The key that is asked about is the only credential.
    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes: list[Any] = []

    @extend_schema(
        operation_id="whoami",
        summary="Whose key this is",
        parameters=[KEY_HEADER, PROJECT, ENVIRONMENT, *DECISION_HEADERS],
        responses={200: WhoamiShown, 401: DecisionShown, 403: DecisionShown},
        auth=KEY_ASKED_ABOUT,  # type: ignore[arg-type]  # it is written down as it is
    )
    def get(self, request: Request) -> Response:
        """Whose key this is and what it opens. Takes nothing from the rate limit."""
        return _response(
            identify(
                token=token_in(request.META),
                remote_ip=remote_address(request.META),
                project=request.query_params.get("project", ""),
                environment=request.query_params.get("environment", ""),
                at=now(),
            )
        )


@extend_schema_view(get=extend_schema(operation_id="whoami_at_root"))
class RootWhoamiView(WhoamiView):
    """The same at the path that gateways know; the schema needs a name for each."""


class VerifyView(APIView):
    """GET for gateways that ask with the consumer's own key, POST for apps that hold one."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [AppKeyAuthentication()] if self._asks_for_others() else []

    def get_permissions(self) -> list[Any]:
        return [scope("keys:read")()] if self._asks_for_others() else []

    def _asks_for_others(self) -> bool:
        # The schema generator asks once before it has a request.
        return self.request is None or self.request.method == "POST"

    @extend_schema(
        operation_id="keys_verify_by_header",
        summary="May this request pass? (gateway)",
        parameters=[
            KEY_HEADER,
            OpenApiParameter("scopes", description="Scopes that are needed, comma-separated."),
            OpenApiParameter("feature", description="Code of a feature that is needed."),
            OpenApiParameter("api", description="Code of the API that is called."),
            PROJECT,
            ENVIRONMENT,
            OpenApiParameter("meter", description="Code of a meter whose quota is taken from."),
            OpenApiParameter("cost", int, description="How much is taken; 1 if not said."),
            OpenApiParameter("request_id", description="The same request is taken once."),
            *DECISION_HEADERS,
        ],
        responses=dict.fromkeys((200, 401, 403, 429), DecisionShown),
        auth=KEY_ASKED_ABOUT,  # type: ignore[arg-type]  # it is written down as it is
    )
    def get(self, request: Request) -> Response:
        """For nginx auth_request and Caddy forward_auth: the status is the decision."""
        query = request.query_params
        return _response(
            decide(
                token=token_in(request.META),
                remote_ip=remote_address(request.META),
                scopes_wanted=query.get("scopes", "").replace(",", " ").split(),
                api=query.get("api", ""),
                feature=query.get("feature", ""),
                project=query.get("project", ""),
                environment=query.get("environment", ""),
                meter=query.get("meter", ""),
                cost=_cost(query.get("cost", "")),
                request_id=query.get("request_id", ""),
                at=now(),
            )
        )

    @extend_schema(
        operation_id="keys_verify",
        summary="May this key do this? (app)",
        request=VerifyRequest,
        parameters=DECISION_HEADERS,
        responses={200: DecisionShown, 400: Problem, 401: Problem, 403: Problem},
    )
    def post(self, request: Request) -> Response:
        """Always 200: `valid` and `code` are the decision. Keys of other projects are unknown.

        To take from the quota of a `meter` the app's key needs the scope `usage:write` too.
        """
        asked = checked(VerifyRequest, request.data)
        if asked["meter"] and asked["cost"]:
            needs("usage:write", request, self)
        decision = decide(
            token=asked["key"],
            remote_ip=asked["ip"],
            scopes_wanted=asked["scopes"],
            api=asked["api"],
            feature=asked["feature"],
            environment=asked["environment"],
            meter=asked["meter"],
            cost=asked["cost"],
            request_id=asked["request_id"],
            at=now(),
            project=caller_of(request).project.public_id,
        )
        return _response(decision, status=200)


def _cost(text: str) -> int:
    """A gateway cannot be told what is wrong with its question: what is no number counts as one."""
    readable = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_COST))
    return min(int(text), LARGEST_COST) if readable else 1


def _response(decision: Decision, status: int | None = None) -> Response:
    return Response(decision.body, status=status or decision.status, headers=decision.headers)
