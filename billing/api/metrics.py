"""Subscriptions and revenue of a project over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.figures import revenue_of, subscription_metrics
from billing.serializers import (
    RevenueQuery,
    RevenueSerializer,
    SubscriptionMetricsSerializer,
)
from keystore.authentication import caller_of
from keystore.permissions import scope
from keystore.selectors import project_of_caller
from keystore.serializers import checked


class SubscriptionMetricsView(APIView):
    permission_classes = [scope("metrics:read")]

    @extend_schema(
        responses={200: SubscriptionMetricsSerializer}, summary="Subscriptions of a project"
    )
    def get(self, request: Request, project_id: str) -> Response:
        """Counts by status and plan, monthly income per currency."""
        project = project_of_caller(caller_of(request), project_id)
        found = subscription_metrics(project=project)
        return Response(
            {
                "project_id": project.pk,
                "active_subscriptions": found.active,
                "by_status": found.by_status,
                "by_plan": found.by_plan,
                "mrr": [
                    {"currency": currency, "amount_minor": amount}
                    for currency, amount in found.mrr_minor.items()
                ],
            }
        )


class RevenueView(APIView):
    permission_classes = [scope("metrics:read")]

    @extend_schema(
        parameters=[RevenueQuery],
        responses={200: RevenueSerializer},
        summary="Revenue of a project",
    )
    def get(self, request: Request, project_id: str) -> Response:
        """Gross, refunds and net, one line per currency; currencies are never added up."""
        asked = checked(RevenueQuery, request.query_params)
        project = project_of_caller(caller_of(request), project_id)
        lines = revenue_of(project=project, since=asked.get("since"), until=asked.get("until"))
        return Response(
            {
                "project_id": project.pk,
                "revenue": [
                    {
                        "currency": line.currency,
                        "payments": line.payments,
                        "gross_minor": line.gross_minor,
                        "refunded_minor": line.refunded_minor,
                        "net_minor": line.net_minor,
                        "fees_minor": line.fees_minor,
                        "fees_known": line.fees_known,
                    }
                    for line in lines
                ],
            }
        )
