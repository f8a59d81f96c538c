"""Celery's doorbells. Each only calls a service that finds its work in PostgreSQL."""

from celery import shared_task

from config.clock import now
from metering import partitions, retention, rollup


@shared_task
def roll_up() -> int:
    """Count new events into totals."""
    return rollup.roll_up(clock=now)


@shared_task
def make_partitions() -> int:
    """Make the months of the table of events ahead of time."""
    return partitions.make_partitions(at=now())


@shared_task
def forget_old_rejections() -> int:
    """Forget why events were refused long ago."""
    return retention.forget_old_rejections(at=now())
