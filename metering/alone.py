"""One event by itself, recorded by one statement together with all that it rests on.

What was found out about a key, a user and a meter is kept in the process as it stood. The statement
that records an event compares that with how things stand now, and records nothing when anything
differs: then it is found out anew. So nothing that is kept is ever believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from entitlements.ready import Asker
from keystore import lifetime
from keystore.lines import Lines, Row
from metering.ingest import Receipt, receipt_of
from metering.limits import terms_of
from metering.models import Cycle
from metering.placing import Group, Known, Placing
from metering.placing import Row as Placed
from metering.standing import KnownConsumer, KnownMeter, Limits, lowest
from metering.told import Told

SCOPE = "usage:write"
MOST_KEPT = 10_000
TRIES = 3
ONLY = 0  # the event's place in its request

JOINS = """
FROM keystore_apikey AS k
JOIN keystore_app AS app ON app.id = k.app_id
JOIN keystore_consumer AS named ON named.project_id = k.project_id AND named.external_id = $2
JOIN keystore_consumer AS c ON c.id = coalesce(named.merged_into_id, named.id)
JOIN entitlements_answer AS a ON a.consumer_id = c.id
LEFT JOIN metering_cycle AS y ON y.consumer_id = c.id
JOIN metering_meter AS m
    ON m.project_id = k.project_id AND m.code = $3 AND m.archived_at IS NULL
LEFT JOIN entitlements_feature AS f ON f.id = m.feature_id
WHERE k.digest = $1
"""
COLUMNS = """
k.id, k.project_id, k.revoked_at, k.disabled_at, k.expires_at, app.is_active, k.scopes,
c.id, a.etag, a.changes_at, y.anchor, y.interval, y.interval_count,
m.id, m.aggregation, m.value_property, f.code, m.stripe_event_name <> '', m.thresholds
"""
FIND = f"""
SELECT ROW({COLUMNS})::text, {COLUMNS.replace("k.scopes", "array_to_json(k.scopes)")}, a.body
{JOINS}
""".encode()
# MATERIALIZED: without it the event may be recorded before everything was compared.
RECORD = f"""
WITH s AS MATERIALIZED (
    SELECT k.project_id, c.id AS consumer_id, m.id AS meter_id {JOINS}
    AND ROW({COLUMNS})::text = $4::text)
SELECT r.outcome, r.event FROM s,
LATERAL metering_record_one(
    s.project_id, s.consumer_id, s.meter_id, $5::uuid, $6::text, $7::text, decode($8::text, 'hex'),
    $9::numeric, $10::text, $11::timestamptz, $12::timestamptz, $13::timestamptz, $14::jsonb,
    $15::text, $16::timestamptz, $17::timestamptz, $18::numeric, $19::boolean, $20::integer) AS r
""".encode()
Name = tuple[str, str, str]  # digest of the key, user, meter


@dataclass(frozen=True, slots=True)
class Stood:
    """How things stood, `text` in the database's words, until the answer runs out."""

    text: str
    asker: Asker
    known: Known
    changes_at: datetime | None

    def may_record(self, at: datetime) -> bool:
        return self.asker.may_ask(SCOPE, at) and not lifetime.has_ended(self.changes_at, at)


class OneByOne:
    """Records single events; what it does not know well enough it leaves to `metering.ingest`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._kept: dict[Name, Stood] = {}

    def record(self, *, digest: str, event: Told, at: datetime) -> tuple[Asker, Receipt] | None:
        """Who asked, and what became of the event. None: nothing was written, ask elsewhere.

        Raises LineDown.
        """
        name = (digest, event.user_id, event.meter)
        stood = self._kept.get(name)
        for _ in range(TRIES):
            if stood is None or lifetime.has_ended(stood.changes_at, at):
                stood = self._find(name)
            if stood is None or not stood.may_record(at):
                return None
            placing = Placing(stood.known, at, 1)
            placing.place(ONLY, event)
            if placing.refused:
                return None
            row, groups = placing.rows[ONLY], placing.groups
            said = self._lines.rows(
                b"record_one", RECORD, (*name, stood.text, *told(row, groups, at))
            )
            if said:
                outcome, recorded = said[0]
                return stood.asker, receipt_of(event, (str(outcome), recorded))
            self._kept.pop(name, None)
            stood = None
        return None

    def _find(self, name: Name) -> Stood | None:
        rows = self._lines.rows(b"find_one", FIND, name)
        if len(rows) != 1:
            return None
        stood = stood_in(rows[0], user_id=name[1], meter=name[2])
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = stood
        return stood


def told(row: Placed, groups: Sequence[Group], at: datetime) -> list[str | None]:
    """The arguments of `metering_record_one` that are of the event, as texts."""
    received = at.isoformat()
    occurred = received if row.o is None else row.o.isoformat()
    counts = occurred if row.t is None else row.t.isoformat()
    event = [
        *(row.i, row.s, row.e, row.f, str(row.q), row.v, occurred, counts, received),
        bytes(row.p).decode() or "{}",
    ]
    if not groups:
        return [*event, None, None, None, None, None, None]
    (group,) = groups
    ends = None if group.d is None else group.d.isoformat()
    limit = None if group.l is None else str(group.l)
    warn = None if group.w is None else str(group.w)
    return [*event, group.k, group.b.isoformat(), ends, limit, "t" if group.h else "f", warn]


def stood_in(row: Row, *, user_id: str, meter: str) -> Stood:
    """How things stood, out of a row of FIND."""
    text, key_id, project_id, revoked_at, disabled_at, expires_at, app_is_active, scopes = row[:8]
    consumer_id, _, changes_at, anchor, interval, interval_count = row[8:14]
    meter_id, aggregation, value_property, feature, is_reported, thresholds, body = row[14:]
    asker = Asker(
        key_id=int(key_id or 0),
        project_id=int(project_id or 0),
        project_names=frozenset(),
        is_app=True,
        is_on=lifetime.is_on(revoked_at, disabled_at, app_is_active == "t"),
        expires_at=_instant(expires_at),
        scopes=frozenset(orjson.loads(scopes or "[]")),
        tags=(),
    )
    cycle = None
    if anchor and interval and interval_count:
        since = datetime.fromisoformat(anchor)
        cycle = Cycle(anchor=since, interval=interval, interval_count=int(interval_count))
    entitlements = orjson.loads(body or "{}")["entitlements"]
    limits = Limits([], {feature: terms_of(entitlements, feature)} if feature else {})
    known_meter = KnownMeter(
        pk=int(meter_id or 0),
        aggregation=str(aggregation),
        value_property=value_property or "",
        feature=feature,
        is_reported=is_reported == "t",
        warn_percent=lowest(thresholds or "[]"),
    )
    consumer = KnownConsumer(int(consumer_id or 0), cycle, limits)
    known = Known(meters={meter: known_meter}, consumers={user_id: consumer}, apis={}, keys={})
    return Stood(str(text), asker, known, _instant(changes_at))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
