"""A request with usage events, from bytes to bytes: the one way in, whoever reads the socket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from keystore.models import Project
from metering.errors import EventConflict, EventRejected
from metering.ingest import ACCEPTED, CONFLICT, DUPLICATE, REJECTED, Receipt, record
from metering.wire import Envelope, parse

PLURALS = {
    ACCEPTED: "accepted",
    DUPLICATE: "duplicates",
    CONFLICT: "conflicts",
    REJECTED: "rejected",
}


@dataclass(frozen=True, slots=True)
class Taken:
    status: int
    headers: dict[str, str]
    body: bytes


class Shown(msgspec.Struct):
    """A receipt as the API shows it; the counts come first."""

    accepted: int
    duplicates: int
    conflicts: int
    rejected: int
    events: list[Receipt]


def take_events(
    body: bytes,
    *,
    content_type: str,
    headers: Mapping[str, str],
    project: Project,
    at: datetime,
) -> Taken:
    """Count what the request tells. `headers` have lower-case names; only `ce-...` are read.

    Always 200 with a receipt per event, unless the request is one event by itself: one that
    conflicts raises EventConflict, one that is not taken EventRejected, with the same receipt.
    """
    envelope = parse(body, content_type=content_type, headers=headers)
    return take(envelope, project=project, at=at)


def take(envelope: Envelope, *, project: Project, at: datetime) -> Taken:
    """The same, when the request was read before."""
    receipts = record(project=project, events=envelope.events, at=at)
    return answer_with(receipts, single=envelope.single)


def answer_with(receipts: list[Receipt], *, single: bool) -> Taken:
    """The answer that says what became of each; a single event's refusal is raised."""
    if single:
        refuse(receipts[0])
    return Taken(
        200,
        {"Content-Type": "application/json", "Cache-Control": "no-store"},
        msgspec.json.encode(Shown(**counted(receipts), events=receipts)),
    )


def counted(receipts: Sequence[Receipt]) -> dict[str, int]:
    """How many of each outcome."""
    found = dict.fromkeys(PLURALS, 0)
    for receipt in receipts:
        found[receipt.status] += 1
    return {plural: found[status] for status, plural in PLURALS.items()}


def refuse(receipt: Receipt) -> None:
    """Raise what the receipt of a single event says, if it says no."""
    if receipt.status in (ACCEPTED, DUPLICATE):
        return
    told: dict[str, Any] = {**counted([receipt]), "events": [msgspec.to_builtins(receipt)]}
    if receipt.status == CONFLICT:
        raise EventConflict(receipt.detail, **told)
    if receipt.status == REJECTED:
        refusal = EventRejected(receipt.detail, **told)
        refusal.code = receipt.code
        raise refusal
