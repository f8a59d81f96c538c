"""Every comparison, in the order of the layers; each reads one snapshot of our tables."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from billing import mirror
from billing.reconciliation import compare_own, compare_stripe
from billing.reconciliation.kinds import Difference
from billing.reconciliation.windows import begin_snapshot, make_sales


@dataclass(frozen=True)
class Scope:
    """What is compared: a batch of listed objects; of our tables all, a project, a consumer.

    With `run_id`, differences of our own layers that a difference above them explains are left
    out.
    """

    batch: str
    at: datetime  # when the lists began to be read
    settled: datetime  # what is younger may not have reached us yet
    project_id: int | None = None
    consumer_id: int | None = None
    run_id: int | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "at": self.at,
            "settled": self.settled,
            "project": self.project_id,
            "consumer": self.consumer_id,
            "run": self.run_id,
        }


COMPARISONS: dict[str, list[str]] = {
    "customers": [compare_stripe.CUSTOMERS],
    "subscriptions": [compare_stripe.SUBSCRIPTIONS],
    "payments": [compare_stripe.PAYMENTS],
    "refunds": [compare_stripe.REFUNDS, compare_stripe.GIVEN_BACK],
    "disputes": [compare_stripe.DISPUTES],
    "invoices": [compare_stripe.INVOICES],
    "ledger": [compare_own.LEDGER],
    "mirror": [compare_own.MIRROR],
    "grants": [compare_own.GRANTS],
    "keys": [compare_own.KEYS],
}
NEED_SALES = {"grants", "keys"}


def differences(*, name: str, scope: Scope) -> list[Difference]:
    """What one comparison finds; nothing is written and no row is locked."""
    with transaction.atomic(), connection.cursor() as cursor:
        begin_snapshot(cursor)
        if name in NEED_SALES:
            make_sales(cursor, scope.params)
        return [each for sql in COMPARISONS[name] for each in _found(cursor, sql, scope)]


def _found(cursor: CursorWrapper, sql: str, scope: Scope) -> list[Difference]:
    cursor.execute(sql.replace("{mirrored}", mirror.MIRRORED_SUBSCRIPTIONS), scope.params)
    return [Difference(*row) for row in cursor.fetchall()]
