"""The sign of life of worker and beat, which nobody can ask over HTTP: a file that they touch."""

from pathlib import Path

from django.conf import settings


def touch() -> None:
    """Note that the process still comes round; without ALIVE_FILE nobody wants to know."""
    if settings.ALIVE_FILE:
        Path(settings.ALIVE_FILE).touch()
