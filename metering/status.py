"""What became of one event: is it counted, in which period, and if not, why not?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from keystore.models import Project
from metering.errors import EventNotFound
from metering.givenback import period_counted_in
from metering.models import UsageEvent, UsageKey, UsageRejection
from metering.periods import Period

STATES = ("counted", "amended", "voided", "rejected", "forgotten")
COUNTED, AMENDED, VOIDED, REJECTED, FORGOTTEN = STATES


@dataclass(frozen=True, slots=True)
class EventStatus:
    """`state` counted, amended (counted as `event` says now), voided, rejected, or forgotten: it
    was counted so long ago that only totals are left. `history` is newest first.
    """

    id: str
    source: str
    state: str
    event: UsageEvent | None
    period: Period | None  # None: it is not counted, or counts against no limit
    history: tuple[UsageEvent, ...]
    rejection: UsageRejection | None
    received_at: datetime

    @property
    def counted(self) -> bool:
        return self.state in (COUNTED, AMENDED, FORGOTTEN)

    @property
    def adjustment(self) -> bool:
        """Whether it counts later than it occurred, because that period was closed."""
        return self.event is not None and self.event.counts_at > self.event.occurred_at


def event_status(*, project: Project, event_id: str, source: str = "") -> EventStatus:
    """Of the event that the app calls so, or else that we do. Raises EventNotFound."""
    if "\x00" in event_id + source:
        raise EventNotFound("No event of this id and source was told in this project.")
    names: dict[str, Any] = {"project": project, "source": source, "event_id": event_id}
    key = UsageKey.objects.filter(**names).first() or _by_our_id(project, event_id)
    if key is not None:
        return _of_counted(key)
    rejection = UsageRejection.objects.filter(**names).first()
    if rejection is None:
        raise EventNotFound("No event of this id and source was told in this project.")
    at = rejection.rejected_at
    return EventStatus(event_id, source, REJECTED, None, None, (), rejection, at)


def _of_counted(key: UsageKey) -> EventStatus:
    history = tuple(_history(key))
    event = next((one for one in history if one.pk == key.event), None)
    state = COUNTED
    if event is None:
        state = FORGOTTEN
    elif key.voided_by is not None:
        state = VOIDED
    elif event.corrects is not None:
        state = AMENDED
    period = period_counted_in(event) if event is not None and key.voided_by is None else None
    return EventStatus(
        *(key.event_id, key.source, state, event, period, history, None),
        received_at=key.received_at,
    )


def _history(key: UsageKey) -> list[UsageEvent]:
    """The event as it counts, what took it back, and what it replaced."""
    rows = UsageEvent.objects.select_related("meter", "consumer", "api", "key")
    found: list[UsageEvent] = []
    if key.voided_by is not None:
        found += rows.filter(pk=key.voided_by)
    waiting: UUID | None = key.event
    while waiting is not None:
        event = rows.filter(pk=waiting).first()
        waiting = event.corrects if event else None
        found += [event] if event else []
    return found


def _by_our_id(project: Project, text: str) -> UsageKey | None:
    try:
        named = UUID(text)
    except ValueError:
        return None
    event = UsageEvent.objects.filter(pk=named, project=project).first()
    if event is None:
        return None
    names = {"project": project, "source": event.source, "event_id": event.event_id}
    return UsageKey.objects.filter(**names).first()
