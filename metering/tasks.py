"""Celery's doorbells. Each only calls a service that finds its work in PostgreSQL."""

from celery import shared_task

from config.clock import now
from metering import credits, notices, partitions, reservations, retention, rollup


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


@shared_task
def expire_reservations() -> int:
    """Free what was kept back for too long."""
    return reservations.expire_reservations(at=now())


@shared_task
def expire_credits() -> int:
    """Write off credits that ran out."""
    return credits.expire_credits(at=now())


@shared_task
def warn_quotas() -> int:
    """Tell whose limit is nearly, or all, used."""
    return notices.warn_quotas(at=now())


@shared_task
def mail_warnings() -> int:
    """Send the e-mails about it."""
    return notices.mail_warnings(at=now())
