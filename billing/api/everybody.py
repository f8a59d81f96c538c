"""All users and all invoices of a project, for its administrators."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import invoices_told
from billing.api.invoice_shapes import InvoiceList
from billing.api.invoices import LISTED, PAGE, listed
from billing.api.own_shapes import UserList, UserShown
from billing.everybody import tell_users, users_of
from config.clock import now
from keystore.authentication import KEY_OR_TOKEN, asker_of
from keystore.pagination import page_of
from keystore.permissions import admin_or_scope
from keystore.selectors import consumer_of
from keystore.serializers import Problem

LONGEST = 50
USER = OpenApiParameter("user_id", str)
STATUS = OpenApiParameter("status", str, description="Of the subscription; none: without one.")
PLAN = OpenApiParameter("plan", str)


def _asked(request: Request, name: str) -> str:
    return request.query_params.get(name, "").replace("\x00", "")[:LONGEST]


class AllUsersView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [admin_or_scope("billing:admin")]

    @extend_schema(
        operation_id="billing_admin_users",
        summary="All users with status and usage",
        parameters=[USER, STATUS, PLAN, *PAGE],
        responses={200: UserList, 403: Problem},
    )
    def get(self, request: Request) -> Response:
        """For apps with `billing:admin` and tokens with the admin role. Newest first."""
        project = asker_of(request).project
        rows = users_of(
            project=project, status=_asked(request, "status"), plan=_asked(request, "plan")
        )
        if user_id := request.query_params.get("user_id", ""):
            found = consumer_of(project=project, user_id=user_id)
            rows = rows.filter(pk=found.pk) if found else rows.none()
        page = page_of(rows.select_related("project"), request.query_params)
        told = tell_users(users=page.rows, at=now())
        return Response(page.body([UserShown(one).data for one in told]))


class AllInvoicesView(APIView):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [admin_or_scope("billing:admin")]

    @extend_schema(
        operation_id="billing_admin_invoices",
        summary="All invoices",
        parameters=LISTED,
        responses={200: InvoiceList, 403: Problem},
    )
    def get(self, request: Request) -> Response:
        """Of every user, drafts included; for apps with `billing:admin` and admins' tokens."""
        project = asker_of(request).project
        rows = invoices_told.invoices_of(project=project)
        if user_id := request.query_params.get("user_id", ""):
            found = consumer_of(project=project, user_id=user_id)
            rows = rows.filter(consumer=found) if found else rows.none()
        return listed(rows, request)
