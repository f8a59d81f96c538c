"""A write that may take access away is answered only when no process holds what was before.

PostgreSQL's triggers say which write that is (migration 0006), not the code that writes: raw SQL,
the admin, a command and a task wait alike, after their commit and without any lock.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import Diagnostic

from keystore.pushcache import LEASE_SECONDS

logger = logging.getLogger(__name__)

WITHDRAWN = "LK001"  # the triggers' own SQLSTATE
SLACK_SECONDS = 0.010


class Watch:
    """Hears, on one of Django's connections, that access was taken away, and waits in time."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._withdrew = False

    def hear(self, said: Diagnostic) -> None:
        if said.sqlstate == WITHDRAWN:
            self._withdrew = True

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """Around each statement of the connection."""
        result = execute(sql, params, many, context)
        if self._withdrew:
            self._withdrew = False
            # At once when the statement was its own transaction; if it is undone, never.
            transaction.on_commit(wait_for_leases, using=self._connection.alias)
        return result


def wait_for_leases() -> None:
    """Until every lease that began before now is over."""
    time.sleep(LEASE_SECONDS + SLACK_SECONDS)


def watch_connection(*, connection: BaseDatabaseWrapper, **told: Any) -> None:
    """Receives Django's `connection_created`."""
    if not settings.PUSH_CACHE or connection.vendor != "postgresql":
        return
    ours = [each for each in connection.execute_wrappers if isinstance(each, Watch)]
    watch = ours[0] if ours else Watch(connection)
    connection.connection.add_notice_handler(watch.hear)
    if not ours:
        # First: whoever adds a wrapper for a while takes away the last one.
        connection.execute_wrappers.insert(0, watch)
