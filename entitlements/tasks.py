"""Celery's doorbells. Each only calls a service that finds its work in PostgreSQL."""

from celery import shared_task

from config.clock import now
from entitlements import services


@shared_task
def refresh_due_answers() -> int:
    """Tell whose access began or ended by time alone."""
    return services.refresh_due_answers(clock=now)
