"""The way to a customer's own pages, over HTTP."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.origins import allowed_url
from billing.serializers import USER_ID_LENGTH
from billing.visits import make_link
from config.clock import now
from keystore.authentication import KEY_OR_TOKEN, asker_of, consumer_acting, project_named
from keystore.permissions import own_or_scope
from keystore.serializers import checked


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a customer",
            value={"user_id": "user_42", "return_url": "http://localhost/account"},
            request_only=True,
        )
    ]
)
class DashboardRequest(serializers.Serializer[Any]):
    user_id = serializers.CharField(
        max_length=USER_ID_LENGTH,
        required=False,
        default="",
        help_text="An end user may leave it out.",
    )
    return_url = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Where the page's way back leads."
    )
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")


class DashboardShown(serializers.Serializer[Any]):
    url = serializers.CharField(help_text="Opens once, in one browser.")
    expires_at = serializers.DateTimeField()


class DashboardSessionView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("dashboard:write")]

    @extend_schema(
        request=DashboardRequest,
        responses={201: DashboardShown},
        summary="A link to the customer's own pages",
    )
    def post(self, request: Request) -> Response:
        """A link that opens the customer's pages once, within ten minutes. Lead the browser there;
        the visit lasts an hour.
        """
        asked = checked(DashboardRequest, request.data)
        project = project_named(request, asked)
        return_url = allowed_url(asked["return_url"], field="return_url", project=project)
        consumer = consumer_acting(request, asked["user_id"])
        made = make_link(
            consumer=consumer, return_url=return_url, actor=asker_of(request).actor, at=now()
        )
        return Response(
            DashboardShown(made).data, status=201, headers={"Cache-Control": "no-store"}
        )
