"""Taking back what was counted, or putting it right: by further events, never by changing one.

Quota and credits go back in the same transaction. The event's name stays taken: sent again, it is
still a duplicate.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction

from keystore import audit
from keystore.models import Project
from metering.closing import counting_instant
from metering.errors import EventNotFound, EventVoided, UsageExceeded
from metering.givenback import balance_of, give_back
from metering.models import Aggregation, Cycle, QuotaBalance, UsageEvent, UsageKey
from metering.placing import ids, measured
from metering.standing import known_meter
from metering.told import Told, kept_properties

CONSUME = "SELECT outcome, event FROM metering_consume({})".format(", ".join(["%s"] * 21))
HOLD = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
COPIED = (
    *("project_id", "consumer_id", "meter_id", "api_id", "key_id", "source", "event_id"),
    *("unique_value", "occurred_at", "properties"),
)
ADDED_UP = (Aggregation.SUM, Aggregation.COUNT)


@dataclass(frozen=True, slots=True)
class Correction:
    """`counter` took `event` back; None: nothing was to be done. `replacement` counts instead."""

    event: UsageEvent
    counter: UUID | None
    replacement: UUID | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """What an event says: how much, or which value, and its properties as JSON text."""

    quantity: Decimal
    value: str
    properties: bytes


@transaction.atomic
def void_event(
    *, project: Project, event_id: str, source: str = "", reason: str, actor: str, at: datetime
) -> Correction:
    """Take an event back, as it counts now: it counts no more. A second time changes nothing.

    Raises EventNotFound.
    """
    key = _named(project, source, event_id)
    event = _counted_under(key)
    if key.voided_by is not None:
        return Correction(event, None)
    counter = _take_back(event, at)
    key.voided_by = counter.pk
    key.save(update_fields=["voided_by"])
    before = {"quantity": event.quantity, "properties": event.properties}
    _record("usage.void", event, before=before, reason=reason, actor=actor, at=at)
    return Correction(event, counter.pk)


@transaction.atomic
def amend_event(
    *,
    project: Project,
    event_id: str,
    source: str = "",
    quantity: Decimal | None = None,
    properties: bytes | None = None,
    reason: str,
    actor: str,
    at: datetime,
) -> Correction:
    """Count an event with another quantity or other properties (JSON text), in the same period.

    Less is always taken, more must fit the quota. Raises EventNotFound, EventVoided,
    UsageExceeded and whatever is wrong with the new values.
    """
    key = _named(project, source, event_id)
    if key.voided_by is not None:
        raise EventVoided("This event was taken back: tell a new one under a new id.")
    event = _counted_under(key)
    old = Measure(event.quantity, event.unique_value, _as_json(event.properties))
    new = _measure(event, quantity, properties)
    if _same(old, new):
        return Correction(event, None)
    balance = balance_of(event)
    counter = _take_back(event, at)
    replacement = _count(key, event, new, balance, counter.counts_at, at)
    before = {"quantity": event.quantity, "properties": event.properties}
    after = {"quantity": new.quantity, "properties": orjson.loads(new.properties)}
    _record("usage.amend", event, before=before, after=after, reason=reason, actor=actor, at=at)
    return Correction(event, counter.pk, replacement)


def _named(project: Project, source: str, event_id: str) -> UsageKey:
    """The event's name, held until the end of the transaction."""
    found = None
    if "\x00" not in event_id + source:
        keys = UsageKey.objects.select_for_update(no_key=True).filter(project=project)
        # An amendment makes the row anew: who waited for the old one would find none.
        with connection.cursor() as cursor:
            cursor.execute(HOLD, [f"event {project.pk} {source} {event_id}"])
        found = keys.filter(source=source, event_id=event_id).first()
    if found is None:
        raise EventNotFound("No event of this id and source was counted in this project.")
    return found


def _counted_under(key: UsageKey) -> UsageEvent:
    events = UsageEvent.objects.select_related("meter__feature", "consumer", "project")
    found = events.filter(pk=key.event).first()
    if found is None:
        raise EventNotFound("This event is so old that only its totals are kept.")
    return found


def _take_back(event: UsageEvent, at: datetime) -> UsageEvent:
    """The counter-event; quota and credits go back."""
    paid = give_back(event=event, at=at)
    return UsageEvent.objects.create(
        **{name: getattr(event, name) for name in COPIED},
        id=UUID(ids(at, 1)[0]),
        quantity=event.quantity.copy_negate(),
        counts_at=_counts_at(event, at),
        received_at=at,
        corrects=event.pk,
        voids=True,
        from_credits=paid.copy_negate(),
    )


def _counts_at(event: UsageEvent, at: datetime) -> datetime:
    """Where the event counted; what was billed already is taken off the running period."""
    if not event.meter.stripe_event_name or event.meter.aggregation not in ADDED_UP:
        return event.counts_at
    cycle = Cycle.objects.filter(consumer=event.consumer_id).first()
    return counting_instant(occurred_at=event.counts_at, cycle=cycle, at=at)


def _measure(event: UsageEvent, quantity: Decimal | None, properties: bytes | None) -> Measure:
    """The new values, checked like those of an event that comes in."""
    kept = _as_json(event.properties) if properties is None else properties
    told = Told(
        id=event.event_id,
        source=event.source,
        meter=event.meter.code,
        user_id="",
        quantity=event.quantity if quantity is None else quantity,
        occurred_at=None,
        properties=kept,
        kept=kept_properties(kept),
        api="",
        key="",
        fingerprint=b"",
    )
    amount, value = measured(told, known_meter(event.meter))
    return Measure(amount, value, told.kept or b"{}")


def _as_json(properties: dict[str, Any]) -> bytes:
    """As they were told: the database writes 1e300 out, which is no integer for others."""
    return orjson.dumps(orjson.loads(json.dumps(properties)))


def _same(old: Measure, new: Measure) -> bool:
    return (old.quantity, old.value, orjson.loads(old.properties)) == (
        *(new.quantity, new.value),
        orjson.loads(new.properties),
    )


def _count(
    key: UsageKey,
    event: UsageEvent,
    new: Measure,
    balance: QuotaBalance | None,
    counts_at: datetime,
    at: datetime,
) -> UUID:
    """The event that counts instead, under the same name and the terms of the same balance."""
    name = (key.source, key.event_id, bytes(key.fingerprint))
    received_at = key.received_at
    key.delete()  # metering_consume makes it anew; nobody else sees it gone
    with connection.cursor() as cursor:
        cursor.execute(
            CONSUME,
            [
                *(event.project_id, event.consumer_id, event.meter_id, event.api_id, event.key_id),
                *name,
                *(new.quantity, new.value, event.occurred_at, counts_at, at),
                *(new.properties.decode(), event.meter.aggregation, balance is not None),
                *_terms(balance, event, new),
            ],
        )
        outcome, made = cursor.fetchone()
    if outcome != "accepted":
        raise UsageExceeded("This is more than the quota of that period holds: nothing changed.")
    UsageEvent.objects.filter(pk=made).update(corrects=event.pk)
    same = {"project": event.project_id, "source": key.source, "event_id": key.event_id}
    UsageKey.objects.filter(**same).update(received_at=received_at)
    return UUID(str(made))


def _terms(balance: QuotaBalance | None, event: UsageEvent, new: Measure) -> list[Any]:
    if balance is None:
        return [None, None, None, False, None]
    hard = balance.enforcement == "hard" and new.quantity > event.quantity
    lowest = min(event.meter.thresholds, default=None)
    return [balance.period_start, balance.period_end, balance.limit, hard, lowest]


def _record(act: str, event: UsageEvent, *, actor: str, **told: Any) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=event,
        project=event.project,
        consumer=event.consumer,
        **told,
    )
