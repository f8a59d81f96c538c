"""Row locks that hold up nobody who only refers to the row, and transactions that lost a tie.

A plain FOR UPDATE also stops every insert of a row that refers to the locked one, so that two
transactions which never touch the same row can wait for each other. All our locks are FOR NO KEY
UPDATE: no key of ours ever changes.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from django.db import OperationalError, connection
from django.db.models import Model, QuerySet
from psycopg import errors as postgres

T = TypeVar("T")
Row = TypeVar("Row", bound=Model)

TRIES = 4


def retried(call: Callable[[], T]) -> T:
    """`call` again if PostgreSQL ended it to let another transaction go first.

    Within a transaction there is nothing to repeat: it is over, and its owner must begin anew.
    """
    for attempt in range(1, TRIES):
        try:
            return call()
        except OperationalError as error:
            lost = postgres.DeadlockDetected | postgres.SerializationFailure
            if not isinstance(error.__cause__, lost) or connection.in_atomic_block:
                raise
            time.sleep(0.01 * attempt * (1 + os.urandom(1)[0] / 256))
    return call()


class _Rows(QuerySet[Row]):
    """Rows whose update_or_create takes our lock instead of Django's."""

    def select_for_update(
        self,
        nowait: bool = False,
        skip_locked: bool = False,
        of: Sequence[str] = (),
        no_key: bool = True,
    ) -> Self:
        return super().select_for_update(nowait, skip_locked, of, no_key)


def upsert(table: type[Row], **wanted: Any) -> tuple[Row, bool]:
    """Django's update_or_create, arguments and answer, while others may refer to the row."""
    return _Rows(table).update_or_create(**wanted)
