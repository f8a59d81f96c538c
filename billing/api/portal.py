"""The customer portal over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import gateway
from billing.origins import allowed_url
from billing.portal import check_eligibility, open_portal
from billing.serializers import (
    EligibilityQuery,
    EligibilitySerializer,
    PortalRequest,
    PortalSerializer,
)
from config.clock import now
from keystore.authentication import caller_of, project_named
from keystore.permissions import scope
from keystore.selectors import consumer_of
from keystore.serializers import checked

WAIT_SECONDS = 8.0


class PortalView(APIView):
    permission_classes = [scope("portal:write")]

    @extend_schema(
        request=PortalRequest, responses={200: PortalSerializer}, summary="Open the portal"
    )
    def post(self, request: Request) -> Response:
        """A link to Stripe's portal, good for minutes."""
        asked = checked(PortalRequest, request.data)
        project = project_named(request, asked)
        return_url = allowed_url(asked["return_url"], field="return_url", project=project)
        consumer = consumer_of(project=project, user_id=asked["user_id"])
        with gateway.deadline(WAIT_SECONDS):
            session = open_portal(
                consumer=consumer, return_url=return_url, actor=caller_of(request).actor, at=now()
            )
        return Response(
            {"id": session.stripe_session_id, "url": session.url, "portal_url": session.url}
        )


class PortalEligibilityView(APIView):
    permission_classes = [scope("portal:write")]

    @extend_schema(
        parameters=[EligibilityQuery],
        responses={200: EligibilitySerializer},
        summary="Would the portal open for this user?",
    )
    def get(self, request: Request) -> Response:
        """Ask before showing the button; costs no call to Stripe."""
        asked = checked(EligibilityQuery, request.query_params)
        project = project_named(request, asked)
        found = check_eligibility(consumer=consumer_of(project=project, user_id=asked["user_id"]))
        return Response(
            {
                "eligible": found.eligible,
                "reason": found.reason,
                "explanation": found.explanation,
            }
        )
