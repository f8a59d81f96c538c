"""The log of changes, which the triggers of migration 0006 write and `keystore.changebus` reads."""

from datetime import datetime, timedelta

from django.db import connection

# Twice the longest silence after which a reader forgets everything by itself.
KEPT = timedelta(minutes=10)
# Not by a row's own time: a transaction that took long may have shown it a moment ago.
FORGET = """
DELETE FROM keystore_change WHERE xid < (SELECT max(horizon) FROM keystore_change WHERE at < %s)
"""


def forget_old_changes(*, at: datetime) -> int:
    """Forget what was committed longer ago than KEPT; how many rows that were."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [at - KEPT])
        return int(cursor.rowcount)
