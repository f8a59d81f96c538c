"""Usage events into rows: each counted once, whatever is sent again, and told what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db import connection

from config.errors import DomainError
from keystore.locking import retried
from keystore.models import Project
from metering.errors import EventConflict, UsageExceeded
from metering.placing import Placing, placed
from metering.rejections import note_rejections, taken_before
from metering.told import Told, Unreadable

RECORD = "SELECT place, outcome, event::text FROM metering_record(%s, %s, %s::jsonb, %s::jsonb)"
IN_TURN = RECORD.replace("metering_record", "metering_record_in_turn")
ACCEPTED, DUPLICATE, CONFLICT, REJECTED = "accepted", "duplicate", "conflict", "rejected"
REFUSED = "refused"
CONFLICTING = EventConflict("This id was used for another event: send a new id for a new event.")
EXCEEDED = UsageExceeded(
    "The quota of this period is used up, and no credits are left: upgrade, buy credits, or wait "
    "for the next period."
)

Outcomes = dict[int, tuple[str, str | None]]  # by place: what became of it, and our id


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one event: accepted, duplicate, conflict or rejected.

    `event` is our id of what is counted under this name, if anything is.
    """

    id: str
    source: str
    status: str
    code: str = ""
    detail: str = ""
    event: str | None = None


def record(*, project: Project, events: Sequence[Told | Unreadable], at: datetime) -> list[Receipt]:
    """Count the events, each by itself; the receipts come in the same order.

    An event that was counted before is a duplicate for ever, whatever has changed since.
    """
    placing = placed(project=project, events=events, at=at)
    outcomes: Outcomes = {}
    places = list(placing.rows)
    # No two of one name at a time: what becomes of the second depends on the first.
    first = {(events[place].source, events[place].id): place for place in reversed(places)}
    if first:
        firsts = sorted(first.values())
        outcomes |= retried(lambda: _write(RECORD, project, placing, firsts, at))
    if len(first) < len(places):
        left = _settle_repeats(events, outcomes, first, places)
        outcomes |= retried(lambda: _write(IN_TURN, project, placing, left, at)) if left else {}
    outcomes |= taken_before(project=project, events=events, places=list(placing.refused))
    receipts = [
        receipt_of(event, outcomes.get(place), placing.refused.get(place))
        for place, event in enumerate(events)
    ]
    refusals = {
        (one.source, one.id): (one.code, one.detail)
        for one in receipts
        if one.status == REJECTED and one.id
    }
    note_rejections(project=project, refusals=refusals, at=at)
    return receipts


def _write(
    statement: str, project: Project, placing: Placing, places: Sequence[int], at: datetime
) -> Outcomes:
    """One transaction. What the database does not name was accepted."""
    rows = [placing.rows[place] for place in places]
    outcomes: Outcomes = {row.n: (ACCEPTED, row.i) for row in rows}
    told, groups = msgspec.json.encode(rows), msgspec.json.encode(placing.groups)
    with connection.cursor() as cursor:
        cursor.execute(statement, [project.pk, at, told.decode(), groups.decode()])
        outcomes |= {place: (outcome, event) for place, outcome, event in cursor.fetchall()}
    return outcomes


def _settle_repeats(
    events: Sequence[Told | Unreadable],
    outcomes: Outcomes,
    first: dict[tuple[str, str], int],
    places: list[int],
) -> list[int]:
    """Answer the repetitions within a request from what became of the first; what is left."""
    left = []
    for place in places:
        event = events[place]
        earlier = first[event.source, event.id]
        outcome, named = outcomes[earlier]
        same = event.fingerprint == events[earlier].fingerprint  # type: ignore[union-attr]
        if place == earlier:
            continue
        if outcome in (ACCEPTED, DUPLICATE):
            outcomes[place] = (DUPLICATE if same else CONFLICT, named)
        elif same:
            outcomes[place] = (outcome, named)
        else:
            left.append(place)
    return left


def receipt_of(
    event: Told | Unreadable,
    outcome: tuple[str, str | None] | None,
    refusal: DomainError | None = None,
) -> Receipt:
    """The receipt of an event, from what the database says became of it and why it was refused."""
    status, counted = outcome or (REFUSED, None)
    if status == REFUSED:
        refusal = refusal or EXCEEDED
        return Receipt(event.id, event.source, REJECTED, refusal.code, refusal.message)
    if status == CONFLICT:
        detail = CONFLICTING.message
        return Receipt(event.id, event.source, CONFLICT, CONFLICTING.code, detail, counted)
    return Receipt(event.id, event.source, status, event=counted)
