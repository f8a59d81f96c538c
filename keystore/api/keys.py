"""One key of a consumer: what it opens, its cut-off, and the take-over of keys from elsewhere."""

from collections import Counter
from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now
from keystore.api.consumers import IDEMPOTENCY_KEY, PROBLEMS
from keystore.authentication import caller_of, project_named
from keystore.idempotency import IdempotentWrites
from keystore.imports import Outcome, import_keys
from keystore.permissions import scope
from keystore.rotation import LONGEST_OVERLAP, move_cutoff
from keystore.selectors import consumer_key
from keystore.serializers import IssueKeyRequest, KeyShown, Problem, RevokeKeyRequest, checked
from keystore.terms import edit_key

MOST_AT_ONCE = 1_000


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "narrower",
            value={"allowed_cidrs": ["203.0.113.0/24"], "reason": "Their office only"},
            request_only=True,
        )
    ]
)
class EditKeyRequest(IssueKeyRequest):
    """What is left out stays as it is."""

    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in ("user_id", "environment", "api"):
            del fields[name]
        for name, one in fields.items():
            if name != "reason":
                one.required, one.default = False, serializers.empty
        return fields


@extend_schema_serializer(
    examples=[
        OpenApiExample("a week more", value={"overlap_seconds": 604_800}, request_only=True),
        OpenApiExample("cut it off now", value={"overlap_seconds": 0}, request_only=True),
    ]
)
class MoveCutoffRequest(RevokeKeyRequest):
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="How long the replaced key works on from now; 0 ends it at once.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "one key",
            value={
                "dry_run": True,
                "keys": [
                    {
                        "user_id": "user_42",
                        "sha256": "9f86d081884c7d65" * 4,
                        "prefix": "acme_live_",
                        "last4": "x9Zq",
                    }
                ],
            },
            request_only=True,
        )
    ]
)
class ImportKeysRequest(serializers.Serializer[Any]):
    keys = serializers.ListField(
        child=serializers.DictField(),
        max_length=MOST_AT_ONCE,
        allow_empty=False,
        help_text="user_id and sha256 (hex) each; prefix, last4, name, environment, scopes, "
        "limit_per_minute, allowed_cidrs, expires_at if wished.",
    )
    dry_run = serializers.BooleanField(required=False, default=False)
    project_id = serializers.CharField(required=False, help_text="Must be the key's own project.")


class OutcomeShown(serializers.Serializer[Any]):
    line = serializers.IntegerField(source="number", help_text="Counted from 1.")
    status = serializers.ChoiceField(["imported", "known", "refused"])
    detail = serializers.CharField()
    key_id = serializers.SerializerMethodField()

    def get_key_id(self, outcome: Outcome) -> str | None:
        return outcome.key.public_id if outcome.key else None


class ImportShown(serializers.Serializer[Any]):
    imported = serializers.IntegerField()
    known = serializers.IntegerField()
    refused = serializers.IntegerField()
    of = serializers.IntegerField()
    dry_run = serializers.BooleanField()
    keys = OutcomeShown(many=True)


class KeyView(IdempotentWrites):
    def get_permissions(self) -> list[Any]:
        wanted = "keys:read" if self.request.method in {"GET", "HEAD"} else "keys:write"
        return [scope(wanted)()]

    @extend_schema(
        operation_id="keys_retrieve",
        summary="A key",
        responses={200: KeyShown, 404: Problem, **PROBLEMS},
    )
    def get(self, request: Request, key_id: str) -> Response:
        """A key of a user: what it opens, when it was last used, and what replaced it."""
        key = consumer_key(project=caller_of(request).project, key_id=key_id)
        return Response(KeyShown(key).data)

    @extend_schema(
        operation_id="keys_edit",
        summary="Change what a key opens",
        request=EditKeyRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def patch(self, request: Request, key_id: str) -> Response:
        """Counts for every request that starts after this answer; what is left out stays."""
        asked = checked(EditKeyRequest, request.data)
        project = project_named(request, asked)
        asked.pop("project_id", None)
        reason = asked.pop("reason")
        renamed = {"limit_per_minute": "own_limit_per_minute", "burst": "own_burst"}
        edit_key(
            key=consumer_key(project=project, key_id=key_id),
            wanted={renamed.get(name, name): value for name, value in asked.items()},
            actor=caller_of(request).actor,
            reason=reason,
            at=now(),
        )
        return Response(KeyShown(consumer_key(project=project, key_id=key_id)).data)


class MoveCutoffView(IdempotentWrites):
    permission_classes = [scope("keys:write")]

    @extend_schema(
        operation_id="keys_move_cutoff",
        summary="Hold or end the overlap of a replaced key",
        request=MoveCutoffRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyShown, 404: Problem, 409: Problem, **PROBLEMS},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """The replaced key works on for so long from now, at most until its successor ends."""
        asked = checked(MoveCutoffRequest, request.data)
        project = project_named(request, asked)
        move_cutoff(
            key=consumer_key(project=project, key_id=key_id),
            overlap=timedelta(seconds=asked["overlap_seconds"]),
            actor=caller_of(request).actor,
            reason=asked["reason"],
            at=now(),
        )
        return Response(KeyShown(consumer_key(project=project, key_id=key_id)).data)


class ImportKeysView(IdempotentWrites):
    permission_classes = [scope("keys:write")]

    @extend_schema(
        operation_id="keys_import",
        summary="Take over keys of another system",
        request=ImportKeysRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ImportShown, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        """Only the SHA-256 of each key is needed: its holders go on using it. Lines that cannot be
        taken over say why, the others are; the same list again changes nothing.
        """
        asked = checked(ImportKeysRequest, request.data)
        found = import_keys(
            project=project_named(request, asked),
            lines=asked["keys"],
            actor=caller_of(request).actor,
            at=now(),
            only_preview=asked["dry_run"],
        )
        count = Counter(one.status for one in found)
        shown = {name: count[name] for name in ("imported", "known", "refused")}
        told = {**shown, "of": len(found), "dry_run": asked["dry_run"], "keys": found}
        return Response(ImportShown(told).data)
