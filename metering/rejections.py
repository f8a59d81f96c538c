"""Events that were not taken: remembered for whoever looks, and found again when they had been."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from keystore.models import Project
from metering.told import Told, Unreadable

NOTE = """
INSERT INTO metering_usagerejection AS r (
    project_id, source, event_id, code, detail, rejected_at)
SELECT %s, s, e, c, d, %s FROM jsonb_to_recordset(%s::jsonb) AS t(s text, e text, c text, d text)
ORDER BY s, e
ON CONFLICT (project_id, source, event_id) DO UPDATE SET
    code = EXCLUDED.code, detail = EXCLUDED.detail, rejected_at = EXCLUDED.rejected_at
"""
BEFORE = """
SELECT t.n, k.fingerprint = decode(t.f, 'hex'), k.event::text
FROM jsonb_to_recordset(%s::jsonb) AS t(n integer, s text, e text, f text)
JOIN metering_usagekey AS k
  ON k.project_id = %s AND k.source = t.s AND k.event_id = t.e
"""


def taken_before(
    *, project: Project, events: Sequence[Told | Unreadable], places: Sequence[int]
) -> dict[int, tuple[str, str]]:
    """Which of the events that would be refused now were counted once: duplicate or conflict."""
    asked = [
        {"n": place, "s": event.source, "e": event.id, "f": event.fingerprint.hex()}
        for place in places
        if isinstance(event := events[place], Told)
    ]
    if not asked:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(BEFORE, [orjson.dumps(asked).decode(), project.pk])
        return {
            place: ("duplicate" if same else "conflict", event)
            for place, same, event in cursor.fetchall()
        }


def note_rejections(
    *, project: Project, refusals: Mapping[tuple[str, str], tuple[str, str]], at: datetime
) -> None:
    """Keep the last reason, (code, detail), by (source, id) of the event."""
    if not refusals:
        return
    rows: list[dict[str, Any]] = [
        {"s": source, "e": event_id, "c": code, "d": detail}
        for (source, event_id), (code, detail) in refusals.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(NOTE, [project.pk, at, orjson.dumps(rows).decode()])
