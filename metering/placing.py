"""Where each event belongs: its meter, its user, the period that it counts in. No writes.

An event that belongs nowhere is refused with the reason; the others become rows for the database.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from config.errors import DomainError
from keystore.errors import ConsumerNotFound
from keystore.models import Project
from metering.closing import counting_instant
from metering.errors import (
    FeatureNotEntitled,
    InTheFuture,
    InvalidEvent,
    InvalidQuantity,
    TooOld,
    UnknownApi,
    UnknownKey,
    UnknownMeter,
)
from metering.models import Cycle
from metering.periods import Period, period_of
from metering.standing import (
    KnownConsumer,
    KnownMeter,
    apis_of,
    consumers_of,
    keys_of,
    meters_of,
)
from metering.told import LONGEST_TEXT, Told, Unreadable, quantity_of

LATE = timedelta(days=35)
EARLY = timedelta(minutes=5)
ONE = Decimal(1)
OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Row(msgspec.Struct, omit_defaults=True, gc=False):
    """An event for `metering_record`, which names these fields."""

    n: int
    i: str
    e: str
    f: str
    c: int
    m: int
    q: Decimal
    s: str = ""
    a: int | None = None
    k: int | None = None
    v: str = ""
    o: datetime | None = None
    t: datetime | None = None
    p: msgspec.Raw = msgspec.Raw(b"")
    g: int | None = None


class Group(msgspec.Struct, gc=False):
    """Events that share a balance, under the terms of its limit."""

    g: int
    c: int
    m: int
    k: str
    b: datetime
    d: datetime | None
    l: Decimal | None  # noqa: E741  the name in SQL
    h: bool
    w: int | None


@dataclass(slots=True)
class Known:
    """All that the events name and that exists, by these names; and periods that were found."""

    meters: dict[str, KnownMeter]
    consumers: dict[str, KnownConsumer]
    apis: dict[str, int]
    keys: dict[str, int]
    periods: dict[tuple[str, int], Period] = field(default_factory=dict)


class Placing:
    """The rows of one request, and what was refused, by the place of the event in it."""

    def __init__(self, known: Known, at: datetime, places: int) -> None:
        self.rows: dict[int, Row] = {}
        self.refused: dict[int, DomainError] = {}
        self.groups: list[Group] = []
        self._group_numbers: dict[tuple[int, int, datetime], int] = {}
        self._known = known
        self._at = at.astimezone(UTC)
        self._ids = ids(self._at, places)

    def place(self, place: int, event: Told | Unreadable) -> None:
        """Give the event its row, or the reason why there is none."""
        if isinstance(event, Unreadable):
            self.refused[place] = event.error
            return
        try:
            self.rows[place] = self._row(place, event)
        except DomainError as error:
            self.refused[place] = error

    def _row(self, place: int, event: Told) -> Row:
        meter = self._known.meters.get(event.meter)
        if meter is None:
            raise UnknownMeter(f"There is no meter {event.meter!r} that takes events.")
        consumer = self._known.consumers.get(event.user_id)
        if consumer is None:
            raise ConsumerNotFound(f"There is no user {event.user_id!r}: register it first.")
        quantity, value = measured(event, meter)
        row = Row(
            n=place,
            i=self._ids[place],
            e=event.id,
            f=event.fingerprint.hex(),
            c=consumer.pk,
            m=meter.pk,
            q=quantity,
            s=event.source,
            v=value,
        )
        if event.kept:
            row.p = msgspec.Raw(event.kept)
        if event.api:
            row.a = found(self._known.apis, event.api, UnknownApi)
        if event.key:
            row.k = found(self._known.keys, event.key, UnknownKey)
        counts = self._counts_at(event.occurred_at, meter, consumer)
        row.o = event.occurred_at
        row.t = None if counts is event.occurred_at else counts
        if meter.feature is not None:
            row.g = self._group(meter, consumer, meter.feature, counts or self._at)
        return row

    def _counts_at(
        self, occurred_at: datetime | None, meter: KnownMeter, consumer: KnownConsumer
    ) -> datetime | None:
        """Under which instant the event counts; None: when it was received."""
        if occurred_at is None:
            return None
        if occurred_at < self._at - LATE:
            raise TooOld(f"Events are taken up to {LATE.days} days after they occurred.")
        if occurred_at > self._at + EARLY:
            raise InTheFuture("This event occurs later than now: set the clock that told it.")
        if not meter.is_reported:
            return occurred_at
        return counting_instant(occurred_at=occurred_at, cycle=consumer.cycle, at=self._at)

    def _group(self, meter: KnownMeter, consumer: KnownConsumer, feature: str, at: datetime) -> int:
        terms = consumer.limits.of(feature)
        if not terms.entitled:
            raise FeatureNotEntitled(f"The plan of this user does not contain {feature!r}.")
        period = self._period(terms.reset, consumer.cycle, at)
        name = (consumer.pk, meter.pk, period.start)
        number = self._group_numbers.get(name)
        if number is None:
            number = self._group_numbers[name] = len(self.groups)
            self.groups.append(
                Group(
                    number,
                    consumer.pk,
                    meter.pk,
                    meter.aggregation,
                    period.start,
                    period.end,
                    terms.limit,
                    terms.hard,
                    meter.warn_percent,
                )
            )
        return number

    def _period(self, reset: str, cycle: Cycle | None, at: datetime) -> Period:
        kept = self._known.periods.get((reset, id(cycle)))
        if kept is None or not kept.contains(at):
            kept = period_of(reset=reset, cycle=cycle, at=at)
            self._known.periods[reset, id(cycle)] = kept
        return kept


def placed(*, project: Project, events: Sequence[Told | Unreadable], at: datetime) -> Placing:
    """Every event with its row or its refusal."""
    told = [event for event in events if isinstance(event, Told)]
    known = Known(
        meters=meters_of(project),
        consumers=consumers_of(project, {event.user_id for event in told}, at=at),
        apis=apis_of(project, {event.api for event in told if event.api}),
        keys=keys_of(project, {event.key for event in told if event.key}),
    )
    placing = Placing(known, at, len(events))
    for place, event in enumerate(events):
        placing.place(place, event)
    return placing


def measured(event: Told, meter: KnownMeter) -> tuple[Decimal, str]:
    """The event's quantity on this meter, and its value if distinct values are counted."""
    if not meter.value_property:
        return (ONE if event.quantity is None else event.quantity), ""
    fields = OBJECT.decode(event.properties) if event.kept else {}
    raw = bytes(fields.get(meter.value_property, b""))
    if not meter.is_unique:
        if not raw:
            raise InvalidQuantity(f"properties.{meter.value_property} is what this meter measures.")
        return quantity_of(raw), ""
    text = unique_value(raw)
    if not 0 < len(text) <= LONGEST_TEXT:
        raise InvalidEvent(
            f"properties.{meter.value_property} is what this meter tells apart: a text or a number "
            f"of 1 to {LONGEST_TEXT} characters."
        )
    return ONE, text


def unique_value(raw: bytes) -> str:
    """A text as it is, anything else that is plain as its JSON; objects and lists have none."""
    if raw[:1] in (b"{", b"[", b"", b"n"):
        return ""
    return msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else raw.decode()


def found(known: dict[str, int], name: str, error: type[DomainError]) -> int:
    pk = known.get(name)
    if pk is None:
        raise error(f"The project has no {name!r}: name one that it has.")
    return pk


def ids(at: datetime, count: int) -> list[str]:
    """UUIDs version 7 of `at`, in order: rows written together lie together."""
    made = f"{int(at.timestamp() * 1000):012x}"
    chance = os.urandom(8 * count).hex()
    start = f"{made[:8]}-{made[8:]}-7"
    return [
        f"{start}{n & 0xFFF:03x}-8{chance[16 * n : 16 * n + 3]}-{chance[16 * n + 4 : 16 * n + 16]}"
        for n in range(count)
    ]
