"""Django's own connection, for hot paths whose functions speak to the database through Django."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections


@contextmanager
def djangos_connection() -> Iterator[None]:
    """As around a request: one that is too old or broken is not used again."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
