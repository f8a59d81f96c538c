"""Celery's doorbells. Each only calls a service that finds its work in PostgreSQL."""

from celery import shared_task

from config.clock import now
from entitlements import batches, reminders, services


@shared_task
def refresh_due_answers() -> int:
    """Tell whose access began or ended by time alone."""
    return services.refresh_due_answers(clock=now)


@shared_task
def give_batches() -> int:
    """Give the lines of running batches."""
    return batches.give_due(clock=now)


@shared_task
def remind_givers() -> int:
    """Tell staff which of their grants end within a week."""
    return reminders.remind_givers(at=now())
