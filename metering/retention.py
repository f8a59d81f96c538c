"""Forgetting events that were totalled, reported and are old enough. Totals and names stay."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from keystore.audit import record
from keystore.locking import upsert
from metering.models import UsageRejection, Watermark
from metering.partitions import PRUNED, Partition, partitions
from metering.periods import months_after
from metering.rollup import MARK

REJECTIONS_KEPT_DAYS = 35

# Asked before a month is dropped: why its events are still needed, or an empty text.
Hold = Callable[[Partition], str]
_holds: list[Hold] = []


@dataclass(frozen=True)
class Verdict:
    """What became, or would become, of one month. `kept_because` empty: it goes."""

    partition: Partition
    events: int
    kept_because: str


def add_hold(hold: Hold) -> None:
    """Let a part that comes after metering say which events it still needs."""
    if hold not in _holds:
        _holds.append(hold)


def prune_events(
    *, keep_months: int, actor: str, at: datetime, dry_run: bool = False
) -> list[Verdict]:
    """Drop each month that ended more than `keep_months` ago and that nobody needs."""
    month = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    limit = months_after(month, -keep_months)
    old = [partition for partition in partitions() if partition.end <= limit]
    return [_prune_one(partition, actor=actor, at=at, dry_run=dry_run) for partition in old]


@transaction.atomic
def _prune_one(partition: Partition, *, actor: str, at: datetime, dry_run: bool) -> Verdict:
    mark = Watermark.objects.select_for_update(no_key=True).get(name=MARK)
    with connection.cursor() as cursor:
        # No name comes from outside: it was matched against the pattern of partitions.
        cursor.execute(f"SELECT count(*), max(xid::text::numeric) FROM {partition.name}")
        events, newest = cursor.fetchone()
        because = "not yet totalled" if newest is not None and newest >= mark.xid else ""
        because = because or next(filter(None, (hold(partition) for hold in _holds)), "")
        if not because and not dry_run:
            cursor.execute(f"DROP TABLE {partition.name}")
            _remember(partition, events, actor=actor, at=at)
    return Verdict(partition, events, because)


def forget_old_rejections(*, at: datetime) -> int:
    """Rejections are for whoever looks for an event that it sent lately."""
    old = at - timedelta(days=REJECTIONS_KEPT_DAYS)
    deleted, _ = UsageRejection.objects.filter(rejected_at__lt=old).delete()
    return deleted


def _remember(partition: Partition, events: int, *, actor: str, at: datetime) -> None:
    before = Watermark.objects.filter(name=PRUNED).first()
    end = max(partition.end, before.moved_at) if before and before.moved_at else partition.end
    mark, _ = upsert(Watermark, name=PRUNED, defaults={"xid": 0, "moved_at": end})
    record(
        actor=actor,
        act="usage.prune",
        target=mark,
        before={"month": f"{partition.start:%Y-%m}", "events": events},
        reason=f"events received before {partition.end:%Y-%m-%d}",
        at=at,
    )
