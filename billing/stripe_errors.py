"""Counts what Stripe answered with an error, over all processes, for the metrics."""

import logging
from datetime import datetime

from django.db import transaction

from billing.models import StripeErrorCount

logger = logging.getLogger(__name__)

COUNT = f"""
INSERT INTO {StripeErrorCount._meta.db_table} AS counted (code, times, last_at)
VALUES (%s, 1, %s)
ON CONFLICT (code) DO UPDATE SET times = counted.times + 1, last_at = EXCLUDED.last_at
"""
LONGEST_CODE = 60


def count_error(*, code: str, path: str, at: datetime) -> None:
    """Count one more error. Whatever happens here, the caller gets Stripe's error, not ours."""
    logger.info("stripe.error", extra={"code": code, "path": path})
    connection = transaction.get_connection()
    if connection.in_atomic_block:
        return  # a failure here would take the caller's transaction with it
    try:
        with connection.cursor() as cursor:
            cursor.execute(COUNT, [code[:LONGEST_CODE], at])
    except Exception as problem:  # noqa: BLE001
        logger.warning("stripe.error_uncounted", extra={"why": repr(problem)})
