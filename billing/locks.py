"""One worker at a time per Stripe customer, held while Stripe is asked, without a transaction."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

from billing import gateway
from config.errors import Unavailable

RETRY_SECONDS = 0.02

STILL_HELD = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0)
)
"""


class CustomerBusy(Unavailable):
    """Somebody else has been at this customer for as long as we could wait."""

    code = "customer_busy"


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process believes to hold."""

    name: str

    def require(self) -> None:
        """Raise CustomerBusy if the connection that held it was lost; call it before writing.

        Django opens a new connection without a word, and somebody else may have been at the
        customer in between: what was read before is not to be written then.
        """
        with connection.cursor() as cursor:
            cursor.execute(STILL_HELD, [self.name])
            if not cursor.fetchone()[0]:
                raise CustomerBusy("The database connection was lost on the way. Try again.")


@contextmanager
def customer_lock(stripe_customer_id: str, *, wait_seconds: float = 10.0) -> Iterator[HeldLock]:
    """Hold the customer's advisory lock on this connection.

    A session lock: it survives the transactions inside, and PostgreSQL drops it with the
    connection when the worker dies. It is tried, not waited for in the server, so that no
    statement stays open. Needs a direct connection or session pooling.
    """
    gateway.refuse_inside_transaction()
    name = f"stripe:{stripe_customer_id}"
    give_up = time.monotonic() + wait_seconds
    while not _try(name):
        if time.monotonic() > give_up:
            raise CustomerBusy(f"{stripe_customer_id} is being brought up to date. Try again.")
        time.sleep(RETRY_SECONDS)
    try:
        yield HeldLock(name)
    finally:
        _release(name)


def _try(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])


def _release(name: str) -> None:
    # A lost connection has given the lock back already, and there is nothing to tell it.
    if connection.connection is None or connection.connection.closed:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])
