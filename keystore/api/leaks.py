"""Reports of leaked keys, in the form that GitHub's secret scanning sends."""

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.clock import now
from config.errors import InvalidInput
from keystore.errors import TooLarge
from keystore.leaks import Find, Told, take_in_finds
from keystore.parsers import parse_json
from keystore.scanners import verify_report
from keystore.serializers import Problem

MOST_BYTES = 1_000_000
MOST_FINDS = 2_000
IDENTIFIER, SIGNATURE = "Github-Public-Key-Identifier", "Github-Public-Key-Signature"


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a find",
            value={
                "token": "lk_live_...",
                "type": "latchkey_api_key",
                "url": "https://github.com/octo/repo/blob/main/config.py",
                "source": "content",
            },
            request_only=True,
        )
    ]
)
class FindReported(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=4000, trim_whitespace=False)
    type = serializers.CharField(max_length=200, help_text="The reporter's name of the pattern.")
    url = serializers.CharField(max_length=4000, required=False, default="", allow_blank=True)
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute
        max_length=200, required=False, default="", allow_blank=True
    )


class FindTold(serializers.Serializer[Any]):
    token_hash = serializers.CharField(help_text="SHA-256 of the token, in hex.")
    token_type = serializers.CharField(source="kind")
    label = serializers.SerializerMethodField()  # type: ignore[assignment]  # DRF's own attribute

    def get_label(self, told: Told) -> str:
        return "true_positive" if told.is_key else "false_positive"


class RevokeLeakedView(APIView):
    """The signature is the only credential: nothing is read or stored before it verifies."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes: list[Any] = []

    @extend_schema(
        operation_id="secret_scanning_revoke",
        summary="Report leaked keys (secret scanning)",
        request=FindReported(many=True),
        parameters=[
            OpenApiParameter(name, location=OpenApiParameter.HEADER, required=True)
            for name in (IDENTIFIER, SIGNATURE)
        ],
        responses={200: FindTold(many=True), 400: Problem, 401: Problem, 404: Problem},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Revokes every key among the finds, and says of each whether it was one."""
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        if not (length.isdigit() and len(length) < 10 and int(length) <= MOST_BYTES):
            raise TooLarge(f"A report may have {MOST_BYTES:,} bytes: send less at a time.")
        body = request._request.body
        verify_report(
            body=body,
            identifier=request.headers.get(IDENTIFIER, ""),
            signature=request.headers.get(SIGNATURE, ""),
        )
        told = take_in_finds(finds=_finds(parse_json(body)), at=now())
        return Response(FindTold(told, many=True).data)


def _finds(given: Any) -> list[Find]:
    if not isinstance(given, list) or len(given) > MOST_FINDS:
        raise InvalidInput(f"A report is a list of at most {MOST_FINDS:,} finds.")
    serializer = FindReported(data=given, many=True)
    serializer.is_valid(raise_exception=True)
    return [
        Find(token=one["token"], kind=one["type"], url=one["url"], source=one["source"])
        for one in serializer.validated_data
    ]
