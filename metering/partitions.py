"""The months of the table of events: made ahead, listed, dropped."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection

from metering.models import Watermark
from metering.periods import months_after

AHEAD = 3  # months
PRUNED = "pruned"  # the watermark that remembers up to when events were dropped
NAME = re.compile(r"metering_usageevent_(\d{4})_(\d{2})")

LIST = """
SELECT child.relname FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'metering_usageevent'::regclass ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """The events received in [start, end)."""

    name: str
    start: datetime
    end: datetime


def make_partitions(*, at: datetime) -> int:
    """The partitions of this month and the next ones. How many were made."""
    month = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    made = 0
    with connection.cursor() as cursor:
        for ahead in range(AHEAD + 1):
            cursor.execute("SELECT metering_make_partition(%s)", [months_after(month, ahead)])
            made += bool(cursor.fetchone()[0])
    return made


def partitions() -> list[Partition]:
    """The months that are kept, oldest first. Events of unexpected clocks are in none of them."""
    with connection.cursor() as cursor:
        cursor.execute(LIST)
        names = [name for (name,) in cursor.fetchall()]
    found = [(name, NAME.fullmatch(name)) for name in names]
    return [_partition(name, match) for name, match in found if match is not None]


def pruned_before() -> datetime | None:
    """Events received before this instant may be gone. None: nothing was ever dropped."""
    mark = Watermark.objects.filter(name=PRUNED).first()
    return mark.moved_at if mark else None


def _partition(name: str, match: re.Match[str]) -> Partition:
    start = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
    return Partition(name, start, months_after(start, 1))
