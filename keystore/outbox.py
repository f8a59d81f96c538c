"""What is told to a project's hook endpoints, written in the transaction in which it happened.

Rolled back with its cause, committed with its cause: nobody hears of what did not happen, and
nothing that happened goes unheard because a broker or a receiver was down.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.expressions import RawSQL

from keystore.correlation import current_request_id
from keystore.doorbell import ring
from keystore.models import (
    Consumer,
    DeliveryState,
    HookAttempt,
    HookDelivery,
    HookEndpoint,
    OutboxMessage,
    Project,
)

MAX_REQUEST_ID = 64
MOST_BYTES = 20_000  # of a body; receivers must not need to expect more
MOST_AT_ONCE = 2000  # that one turn of forgetting takes
TEST_KIND = "test"
SUBJECTS = {
    "consumer": ("merged", "erased"),
    "entitlements": ("changed",),
    "subscription": ("created", "updated", "ended", "trial_will_end", "change_failed"),
    "payment": ("failed", "recovered"),
    "dunning": ("reminder_sent",),
    "access": ("ended",),
    "refund": ("created", "updated", "failed"),
    "quota": ("warning", "exceeded"),
    "creator": ("onboarded", "disabled"),
    "payout": ("paid", "failed"),
    "key": ("created", "rotated", "disabled", "enabled", "revoked", "suspended"),
}
KINDS = tuple(f"{subject}.{event}" for subject, events in SUBJECTS.items() for event in events)


def tell(
    *,
    project: Project,
    kind: str,
    data: dict[str, Any],
    consumer: Consumer | None = None,
    at: datetime,
) -> None:
    """Tell every active endpoint of the project that wants `kind`. Call it in the transaction of
    the change. Nothing is written when no endpoint wants it.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind} is not a kind of message: {', '.join(KINDS)}")
    listening = _listening(project, kind)
    if listening:
        endpoints = list(HookEndpoint.objects.filter(pk__in=listening))
        write_message(endpoints, project=project, kind=kind, data=data, consumer=consumer, at=at)


def projects_that_hear(*, kind: str) -> RawSQL:
    """A subquery: the ids of projects where an active endpoint wants `kind`."""
    return RawSQL(f"SELECT project_id FROM keystore_hookendpoint WHERE {HEARS}", [kind])


@transaction.atomic
def write_message(
    endpoints: list[HookEndpoint],
    *,
    project: Project,
    kind: str,
    data: dict[str, Any],
    consumer: Consumer | None,
    at: datetime,
) -> OutboxMessage:
    """One message and its way to each of the endpoints; the worker is rung when it is certain."""
    message = OutboxMessage.objects.create(
        project=project,
        consumer=consumer,
        kind=kind,
        data=json.loads(json.dumps(data, cls=DjangoJSONEncoder)),
        request_id=current_request_id()[:MAX_REQUEST_ID],
        created_at=at,
    )
    HookDelivery.objects.bulk_create(
        HookDelivery(
            project=project,
            message=message,
            endpoint=endpoint,
            next_attempt_at=at,
            created_at=at,
        )
        for endpoint in endpoints
    )
    transaction.on_commit(partial(ring, "keystore.tasks.deliver_hooks"))
    return message


def forget_old_messages(*, at: datetime) -> int:
    """Delete what was told longer ago than it is kept, but nothing that is still on its way."""
    too_old = OutboxMessage.objects.filter(
        created_at__lt=at - timedelta(days=settings.HOOKS_KEEP_DAYS)
    )
    on_its_way = HookDelivery.objects.filter(message=OuterRef("pk"), state=DeliveryState.PENDING)
    found = list(
        too_old.exclude(Exists(on_its_way))
        .order_by("pk")
        .values_list("pk", flat=True)[:MOST_AT_ONCE]
    )
    with transaction.atomic():
        HookAttempt.objects.filter(delivery__message__in=found).delete()
        HookDelivery.objects.filter(message__in=found).delete()
        OutboxMessage.objects.filter(pk__in=found).delete()
    return len(found)


def body_of(message: OutboxMessage) -> bytes:
    """What is signed and sent: the same bytes at every try. A message that is too large says
    where its data can be fetched instead.
    """
    body = _body(message, message.data)
    if len(body) <= MOST_BYTES:
        return body
    url = f"{settings.PUBLIC_URL}/api/v1/hook-messages/{message.public_id}"
    return _body(message, {"too_large": True, "url": url})


HEARS = "disabled_at IS NULL AND (kinds = '{}' OR kinds @> ARRAY[%s]::varchar[])"


def _listening(project: Project, kind: str) -> list[int]:
    """In SQL: in most projects nobody listens, and each change of access asks."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM keystore_hookendpoint WHERE {HEARS} AND project_id = %s",
            [kind, project.pk],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _body(message: OutboxMessage, data: object) -> bytes:
    timestamp = message.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    told = {"type": message.kind, "timestamp": timestamp, "data": data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
