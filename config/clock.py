"""The one clock. Edges (API, admin, tasks, commands) read it once and pass `at` down."""

import time
from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return timezone.now()


def seconds() -> float:
    """The same in seconds since 1970, for those who cannot afford an object."""
    return time.time()
