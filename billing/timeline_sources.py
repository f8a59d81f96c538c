"""The tables that the timeline is read from, each as items of `stories`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.db.models.fields.json import KT

from billing.models import InboxAttempt, InboxEvent, InboxState, Operation, OperationState
from billing.stories import NOTE, Item
from billing.timeline_words import kind_of, text_of
from keystore.models import AuditEntry, Consumer, ConsumerNote, OutboxMessage

MOST_JOINED = 300  # per table: a story that long is told in part
OUR_KEY = "latchkey:"  # how the idempotency keys of our calls to Stripe begin


Place = tuple[str, int]


@dataclass(frozen=True)
class Scope:
    """Whose history it is: the ids under which the tables know the consumer."""

    consumer: Consumer
    known_as: tuple[str, ...]  # its public id, and those of consumers merged into it
    stripe_customer_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    operations: tuple[int, ...]
    names: Mapping[str, str]  # what people call grants and keys, by public id


@dataclass(frozen=True)
class Source:
    """One table. `rows` are those of the consumer, `joined_by` those that share one of the ids."""

    permission: str
    kinds: tuple[str, ...]
    instant: str
    rows: Callable[[Scope, str], QuerySet[Any] | None]
    joined_by: Callable[[Collection[str]], Q]
    items: Callable[[Scope, list[Any]], Iterable[Item]]

    def newest(self, scope: Scope, before: datetime, limit: int, kind: str) -> list[Item]:
        rows = self.rows(scope, kind)
        if rows is None:
            return []
        earlier = rows.filter(**{f"{self.instant}__lt": before})
        found = list(earlier.order_by(f"-{self.instant}", "-pk")[:limit])
        return sorted(self.items(scope, found), key=lambda item: item.order, reverse=True)

    def joined(self, scope: Scope, ids: Collection[str], known: Collection[Place]) -> list[Item]:
        """What shares one of the ids, without what is known."""
        rows = self.rows(scope, "")
        if rows is None:
            return []
        table = rows.model._meta.model_name
        rows = rows.exclude(pk__in=[pk for name, pk in known if name == table])
        found = rows.filter(self.joined_by(ids)).order_by(f"-{self.instant}", "-pk")
        return list(self.items(scope, list(found[:MOST_JOINED])))


def _place(row: Model) -> Place:
    return str(row._meta.model_name), row.pk


# --- What Stripe told us -------------------------------------------------------------------------


def _events(scope: Scope, kind: str) -> QuerySet[InboxEvent] | None:
    if not scope.stripe_customer_ids:
        return None
    rows = InboxEvent.objects.filter(stripe_customer_id__in=scope.stripe_customer_ids)
    return rows.defer("payload").annotate(cause=KT("payload__request__idempotency_key"))


def _of_events(scope: Scope, events: list[InboxEvent]) -> Iterable[Item]:
    tries = InboxAttempt.objects.filter(event__in=events).exclude(request_id="")
    tried: dict[int, set[str]] = {}
    for event_id, request_id in tries.values_list("event_id", "request_id"):
        tried.setdefault(event_id, set()).add(request_id)
    for event in events:
        joins = {event.event_id, event.correlation_id, *tried.get(event.pk, ())}
        parked = event.state == InboxState.PARKED
        yield Item(
            place=_place(event),
            at=event.received_at,
            kind="stripe",
            text=f"Stripe told us {event.type}",
            joins=frozenset(joins | _operation_behind(event)),
            by=event.event_id,
            why=_standing_of(event),
            url="admin:billing_inboxevent_change",
            alarming=parked,
        )


def _operation_behind(event: Any) -> set[str]:
    """Our own call to Stripe that made the event, if it was one: "latchkey:kind:op_...:1"."""
    cause = event.cause or ""
    parts = cause.split(":")
    return {parts[2]} if cause.startswith(OUR_KEY) and len(parts) == 4 else set()


def _standing_of(event: InboxEvent) -> str:
    if event.state == InboxState.PARKED:
        return f"parked after {event.attempts} tries: nothing followed from it yet"
    if event.state == InboxState.IGNORED:
        return f"ignored: {event.note}"
    return "waits to be worked off" if event.state == InboxState.PENDING else ""


# --- What is on record ---------------------------------------------------------------------------


def _entries(scope: Scope, kind: str) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.filter(consumer_id__in=scope.known_as)
    by_staff = Q(actor__startswith="staff:")
    where = {
        "access": Q(object_kind="grant"),
        "key": Q(object_kind="apikey"),
        "staff": by_staff,
        "money": ~by_staff & ~Q(object_kind__in=("grant", "apikey")),
    }
    return rows.filter(where.get(kind, Q())).exclude(act__startswith="note.")


def _of_entries(scope: Scope, entries: list[AuditEntry]) -> Iterable[Item]:
    for entry in entries:
        after = entry.after if isinstance(entry.after, dict) else {}
        yield Item(
            place=_place(entry),
            at=entry.created_at,
            kind=kind_of(entry),
            text=text_of(entry, scope.names),
            joins=frozenset({entry.request_id, *map(str, after.get("events", ()))} - {""}),
            by=entry.actor,
            why=entry.reason,
            url="admin:keystore_auditentry_change",
        )


# --- What we asked of Stripe, told others, and wrote beside --------------------------------------


def _operations(scope: Scope, kind: str) -> QuerySet[Operation]:
    own = Q(subject__in=scope.subjects) | Q(pk__in=scope.operations)
    return Operation.objects.filter(own, project_id=scope.consumer.project_id).defer("params")


def _of_operations(scope: Scope, operations: list[Operation]) -> Iterable[Item]:
    for operation in operations:
        state = operation.state
        said = {OperationState.DONE: "Stripe did it", OperationState.FAILED: "Stripe refused it"}
        words = operation.kind.replace("_", " ")
        yield Item(
            place=_place(operation),
            at=operation.created_at,
            kind="call",
            text=f"Asked Stripe: {words}, {said.get(OperationState(state), f'{state} so far')}",
            joins=frozenset({operation.request_id, operation.public_id} - {""}),
            by=operation.actor,
            why=operation.error,
            url="admin:billing_operation_change",
            alarming=state in (OperationState.FAILED, OperationState.UNKNOWN),
        )


def _messages(scope: Scope, kind: str) -> QuerySet[OutboxMessage]:
    rows = OutboxMessage.objects.filter(consumer=scope.consumer)
    return rows.defer("data").prefetch_related("deliveries__endpoint")


def _of_messages(scope: Scope, messages: list[OutboxMessage]) -> Iterable[Item]:
    for message in messages:
        deliveries = list(message.deliveries.all())
        states = ", ".join(f"{one.state} to {one.endpoint}" for one in deliveries)
        yield Item(
            place=_place(message),
            at=message.created_at,
            kind="hook",
            text=f"Told {message.kind}: {states or 'nobody'}",
            joins=frozenset({message.request_id} - {""}),
            alarming=any(one.state == "failed" for one in deliveries),
        )


def _notes(scope: Scope, kind: str) -> QuerySet[ConsumerNote]:
    return ConsumerNote.objects.filter(consumer=scope.consumer, removed_at=None)


def _of_notes(scope: Scope, notes: list[ConsumerNote]) -> Iterable[Item]:
    for note in notes:
        yield Item(
            place=_place(note), at=note.created_at, kind=NOTE, text=note.text, by=note.author
        )


SOURCES = (
    Source(
        "billing.view_inboxevent",
        ("stripe",),
        "received_at",
        _events,
        lambda ids: Q(event_id__in=ids) | Q(request_id__in=ids),
        _of_events,
    ),
    Source(
        "keystore.view_auditentry",
        ("money", "access", "key", "staff"),
        "created_at",
        _entries,
        lambda ids: Q(request_id__in=ids) | Q(after__events__has_any_keys=list(ids)),
        _of_entries,
    ),
    Source(
        "billing.view_operation",
        ("call",),
        "created_at",
        _operations,
        lambda ids: Q(request_id__in=ids) | Q(public_id__in=ids),
        _of_operations,
    ),
    Source(
        "keystore.view_outboxmessage",
        ("hook",),
        "created_at",
        _messages,
        lambda ids: Q(request_id__in=ids),
        _of_messages,
    ),
    Source(
        "keystore.view_consumernote",
        (NOTE,),
        "created_at",
        _notes,
        lambda ids: Q(pk__in=()),
        _of_notes,
    ),
)
