"""Erasing a user's personal data over HTTP, for apps and for the users themselves."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.subscription_shapes import Fields, example
from billing.erasing import Erasure, erase_consumer, erasure_of
from config.clock import now
from keystore.authentication import KEY_OR_TOKEN, asker_of, consumer_meant
from keystore.callers import EndUser
from keystore.errors import ConsumerNotFound
from keystore.idempotency import IdempotentWrites
from keystore.models import Consumer
from keystore.permissions import own_or_scope
from keystore.serializers import Problem, checked

KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)
NOBODY = "There is no such user: nothing is known of them."


@example("asked by mail", reason="Ticket 4711")
class EraseRequest(Fields):
    reason = serializers.CharField(
        max_length=1000, required=False, default="", help_text="Kept in the audit trail."
    )


class ErasureShown(Fields):
    id = serializers.CharField(help_text="con_...: under it payments and invoices stay.")
    user_id = serializers.CharField(help_text="The same: the app's own id is free again.")
    erased_at = serializers.DateTimeField()
    keys_revoked = serializers.IntegerField(help_text="By this request.")
    at_stripe = serializers.ChoiceField(
        choices=["none", "pending", "deleted"],
        help_text="The customer at Stripe; pending: it follows by itself.",
    )


class EraseView(IdempotentWrites):
    authentication_classes = KEY_OR_TOKEN
    permission_classes = [own_or_scope("consumers:write")]

    @extend_schema(
        operation_id="consumers_erase",
        summary="Erase a user's personal data",
        request=EraseRequest,
        parameters=[KEY],
        responses={200: ErasureShown, 404: Problem, 409: Problem},
    )
    def post(self, request: Request, consumer_id: str) -> Response:
        """Takes away at once whatever says who the user is, and revokes every key; payments,
        invoices and usage stay under our own id. It cannot be undone. A token erases its own user.

        409 while something is going on, as a subscription that runs: the message says what to do.
        """
        asked = checked(EraseRequest, request.data)
        asker = asker_of(request)
        by_user = isinstance(asker, EndUser)
        consumer = consumer_meant(request, consumer_id) or _erased(request, consumer_id)
        if consumer is None:
            raise ConsumerNotFound(NOBODY)
        erasure = erase_consumer(
            consumer=consumer,
            actor=asker.actor,
            reason=asked["reason"] or ("asked by the user" if by_user else "asked by the app"),
            clock=now,
        )
        return Response(_told(erasure))


def _erased(request: Request, consumer_id: str) -> Consumer | None:
    """Somebody who is erased already, asked for by our own id: the same answer again."""
    asker = asker_of(request)
    if isinstance(asker, EndUser) or "\x00" in consumer_id:
        return None
    rows = Consumer.objects.filter(project=asker.project, erased_at__isnull=False)
    return rows.filter(public_id=consumer_id, merged_into=None).first()


def _told(erasure: Erasure) -> dict[str, Any]:
    consumer = erasure.consumer
    deleted = [is_deleted for _, is_deleted in erasure_of(consumer).customers]
    state = "none" if not deleted else "deleted" if all(deleted) else "pending"
    return {
        "id": consumer.public_id,
        "user_id": consumer.public_id,
        "erased_at": consumer.erased_at,
        "keys_revoked": erasure.keys_revoked,
        "at_stripe": state,
    }
