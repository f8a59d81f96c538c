"""What does it cost to compare many subscriptions of which nothing changed?

`make bench ARGS=reconcile` runs it, with RECONCILED subscriptions and all of pytest's fixtures.
Stripe's lists come from this process: their CPU is taken out, and the pace that spares Stripe's
limit is lifted. FIGURES names a file for the figures.
"""

import json
import os
import resource
import threading
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from billing import gateway
from billing.models import StripeCustomer
from tests.billing.conftest import clock, pro, pro_monthly, stripe_world  # noqa: F401
from tests.billing.reconciliation import many
from tests.billing.reconciliation.conftest import look, settle, shop  # noqa: F401
from tests.conftest import journal  # noqa: F401

SUBSCRIPTIONS = int(os.environ.get("RECONCILED", "20000"))
SAMPLE = """
SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, left(query, 60)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    AND backend_type = 'client backend'
"""


class Watch:
    """Samples from outside how long transactions are open."""

    def __init__(self) -> None:
        self.longest, self.statement = 0.0, ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        keep = {"host", "port", "user", "password", "dbname"}
        given = connection.get_connection_params()
        address = {name: value for name, value in given.items() if name in keep}
        with psycopg.connect(**address, autocommit=True) as outside:
            while not self._end.wait(0.02):
                for seconds, statement in outside.execute(SAMPLE).fetchall():
                    if seconds > self.longest:
                        self.longest, self.statement = seconds, " ".join(statement.split())


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(3600)
def test_figures(shop, settle, look, stripe_world, settings):  # type: ignore[no-untyped-def]  # noqa: F811
    objects, names = many.make_crowd(shop, settle, stripe_world, SUBSCRIPTIONS)
    lists = many.Lists(objects, names, SUBSCRIPTIONS)
    gateway.connect(lists)
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 1_000_000.0
    # Stripe's lists know the copies only.
    StripeCustomer.objects.filter(consumer__external_id="alice").update(deleted_at=shop.clock())
    shop.subscription("alice").delete()
    cpu, wall = time.process_time(), time.perf_counter()

    with Watch() as watch:
        run = look()

    wall = time.perf_counter() - wall
    ours = time.process_time() - cpu - lists.cpu_seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    per_100k = ours / SUBSCRIPTIONS * 100_000
    print(
        f"\nReconcile {SUBSCRIPTIONS:,} subscriptions ({run.state}, {run.found} differences): "
        f"{ours:.1f} s of our CPU, {per_100k:.1f} s per 100,000; {wall:.1f} s without Stripe's "
        f"pace; {lists.pages:,} pages, {run.compared:,} objects, {peak} MB at most.\n"
        f"Longest transaction: {watch.longest:.1f} s, {watch.statement}.\n"
        f"Pages that were asked for inside a transaction: {lists.in_transaction}"
    )
    told = {"cpu_s": ours, "wall_s": wall, "pages": lists.pages, "transaction_s": watch.longest}
    if "FIGURES" in os.environ:
        Path(os.environ["FIGURES"]).write_text(json.dumps(told | {"peak_mb": peak}))
    assert (run.state, run.found, lists.in_transaction) == ("done", 0, 0)
