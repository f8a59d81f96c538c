"""Starting a comparison with Stripe and seeing what it found, over HTTP."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Drift, ReconciliationRun, RunMode
from billing.reconciliation.kinds import EVERY_KIND, DriftKind
from billing.reconciliation.runs import LONGEST_DAYS_BACK, start_run
from billing.reconciliation.selectors import drifts_of, runs_of
from config.clock import now
from config.errors import NotFound
from keystore.authentication import caller_of, project_named
from keystore.idempotency import IdempotentWrites
from keystore.pagination import page_of
from keystore.permissions import scope
from keystore.serializers import checked

MOST_DRIFTS = 1_000


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "only look",
            value={"mode": "dry_run", "days_back": 7, "reason": "A buyer says that he paid"},
            request_only=True,
        ),
        OpenApiExample(
            "mend what can be mended",
            value={"mode": "repair", "repair_kinds": ["all"], "reason": "The worker was down"},
            request_only=True,
        ),
    ]
)
class StartRequest(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(RunMode.choices, default=RunMode.DRY_RUN)
    repair_kinds = serializers.ListField(
        child=serializers.ChoiceField([EVERY_KIND, *DriftKind.values]),
        max_length=len(DriftKind.values) + 1,
        default=list,
        help_text="What mode `repair` mends; `all` for every kind.",
    )
    days_back = serializers.IntegerField(
        min_value=1,
        max_value=LONGEST_DAYS_BACK,
        default=None,
        allow_null=True,
        help_text="Days of charges, refunds and invoices; null: all.",
    )
    reason = serializers.CharField(max_length=500, default="", allow_blank=True)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")


class RunShown(serializers.ModelSerializer[ReconciliationRun]):
    id = serializers.CharField(source="public_id", help_text="rec_...")

    class Meta:
        model = ReconciliationRun
        fields = [
            "id",
            "project_id",
            "mode",
            "repair_kinds",
            "days_back",
            "state",
            "step",
            "compared",
            "expected",
            "found",
            "repaired",
            "problem",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class DriftShown(serializers.ModelSerializer[Drift]):
    id = serializers.CharField(source="public_id", help_text="drift_...")
    user_id = serializers.CharField(source="consumer.external_id", default=None, allow_null=True)

    class Meta:
        model = Drift
        fields = [
            "id",
            "kind",
            "object_id",
            "user_id",
            "field",
            "ours",
            "stripes",
            "cause",
            "state",
            "note",
            "created_at",
            "settled_at",
        ]
        read_only_fields = fields


class RunWithDriftsShown(RunShown):
    drifts = serializers.SerializerMethodField(help_text=f"The first {MOST_DRIFTS}.")

    class Meta(RunShown.Meta):
        fields = [*RunShown.Meta.fields, "drifts"]
        read_only_fields = fields

    @extend_schema(responses=DriftShown(many=True))
    def get_drifts(self, run: ReconciliationRun) -> Any:
        return DriftShown(drifts_of(run=run)[:MOST_DRIFTS], many=True).data


class RunPage(serializers.Serializer[Any]):
    data = RunShown(many=True)  # type: ignore[assignment]  # DRF's own attribute
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class ReconciliationsView(IdempotentWrites):
    permission_classes = [scope("reconciliation:write")]

    @extend_schema(
        operation_id="admin_reconciliations_list",
        responses={200: RunPage},
        summary="Comparisons with Stripe",
    )
    def get(self, request: Request) -> Response:
        """Those that were started for the caller's project, newest first."""
        page = page_of(runs_of(project=caller_of(request).project), request.query_params)
        return Response(page.body(list(RunShown(page.rows, many=True).data)))

    @extend_schema(
        request=StartRequest, responses={202: RunShown}, summary="Start a comparison with Stripe"
    )
    def post(self, request: Request) -> Response:
        """Only looks, unless mode is `repair`. The work is done by the queue: ask for the run
        to see how far it is.
        """
        asked = checked(StartRequest, request.data)
        run = start_run(
            project=project_named(request, asked),
            mode=RunMode(asked["mode"]),
            repair_kinds=asked["repair_kinds"],
            days_back=asked["days_back"],
            actor=caller_of(request).actor,
            reason=asked["reason"],
            at=now(),
        )
        return Response(RunShown(run).data, status=202)


class ReconciliationView(IdempotentWrites):
    permission_classes = [scope("reconciliation:write")]

    @extend_schema(responses={200: RunWithDriftsShown}, summary="A comparison with Stripe")
    def get(self, request: Request, run_id: str) -> Response:
        """How far it is, and what it found."""
        rows = runs_of(project=caller_of(request).project)
        run = rows.filter(public_id=run_id).first()
        if run is None:
            raise NotFound("There is no such reconciliation in this project.")
        return Response(RunWithDriftsShown(run).data)
