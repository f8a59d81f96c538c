"""What the API says of usage."""

from typing import Any

from rest_framework import serializers

from metering.ingest import ACCEPTED, CONFLICT, DUPLICATE, REJECTED


class ReceiptShown(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The event's id, as sent.")
    source = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField([ACCEPTED, DUPLICATE, CONFLICT, REJECTED])
    code = serializers.CharField(allow_blank=True, help_text="Why not; listed at /docs/errors.")
    detail = serializers.CharField(allow_blank=True)
    event = serializers.UUIDField(
        allow_null=True, help_text="Our id of what is counted under this name."
    )


class ReceiptsShown(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Counted before: nothing was added.")
    conflicts = serializers.IntegerField(help_text="The id was used for another event.")
    rejected = serializers.IntegerField(help_text="Not counted; `code` says why.")
    events = ReceiptShown(many=True, help_text="In the order in which they were sent.")
