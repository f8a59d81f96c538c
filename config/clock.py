"""The one clock. Edges (API, admin, tasks, commands) read it once and pass `at` down."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return timezone.now()
