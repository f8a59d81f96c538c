"""Looking at all promises, keeping what was found, and telling people once of each that broke."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.core.mail import send_mail
from django.db import DatabaseError, transaction

from billing.invariants.found import Check, Found
from billing.invariants.registry import CHECKS
from billing.models import InvariantCheck

logger = logging.getLogger(__name__)


def check_all(*, at: datetime, checks: Sequence[Check] = CHECKS) -> list[InvariantCheck]:
    """Look at each promise and keep what was found; returns the rows in the order of the checks.

    A check that cannot be made counts as broken: nobody knows then.
    """
    rows = [_check(check, at) for check in checks]
    codes = [check.code for check in CHECKS]
    InvariantCheck.objects.exclude(code__in=codes).delete()  # promises that are made no more
    _tell(rows, at)
    return rows


def _check(check: Check, at: datetime) -> InvariantCheck:
    started = time.monotonic()
    try:
        with transaction.atomic():
            found = check.find(at)
    except DatabaseError as problem:
        logger.warning("invariant.unchecked", extra={"code": check.code}, exc_info=True)
        example = {
            "object": "the check itself",
            "detail": str(problem)[:300],
            "model": "",
            "pk": "",
        }
        found = Found(1, [example])
    return _keep(check, found, at, round((time.monotonic() - started) * 1000))


@transaction.atomic
def _keep(check: Check, found: Found, at: datetime, milliseconds: int) -> InvariantCheck:
    row, _ = InvariantCheck.objects.get_or_create(code=check.code, defaults={"checked_at": at})
    row = InvariantCheck.objects.select_for_update(no_key=True).get(pk=row.pk)
    broke, mended = found.number and not row.failing_since, row.failing_since and not found.number
    row.violations, row.examples = found.number, found.examples
    row.checked_at, row.milliseconds = at, milliseconds
    if broke:
        row.failing_since = at
        logger.error("invariant.broken", extra={"code": check.code, "violations": found.number})
    elif mended:
        row.failing_since = row.told_at = None
        logger.info("invariant.holds_again", extra={"code": check.code})
    row.save(
        update_fields=[
            "violations",
            "examples",
            "checked_at",
            "milliseconds",
            "failing_since",
            "told_at",
        ]
    )
    return row


def _tell(rows: list[InvariantCheck], at: datetime) -> None:
    """Mail what broke and was not told yet. A mail that fails is tried at the next look."""
    untold = [row for row in rows if row.failing_since and row.told_at is None]
    if not untold or not settings.ALERT_EMAILS:
        return
    try:
        send_mail(
            subject=f"Latchkey: {len(untold)} promises are broken",
            message="\n\n".join(_paragraph(row) for row in untold),
            from_email=settings.DEFAULT_FROM_EMAIL,
            recipient_list=settings.ALERT_EMAILS,
        )
    except OSError as problem:
        logger.warning("invariant.mail_failed", extra={"why": repr(problem)})
        return
    InvariantCheck.objects.filter(pk__in=[row.pk for row in untold]).update(told_at=at)


def _paragraph(row: InvariantCheck) -> str:
    check = next(check for check in CHECKS if check.code == row.code)
    examples = [f"  {one['object']}: {one['detail']}" for one in row.examples]
    page = f"{settings.PUBLIC_URL}/admin/billing/invariantcheck/"
    return "\n".join(
        [
            f"{check.title}: {row.violations} break it.",
            *examples,
            f"What to do: {check.advice}",
            page,
        ]
    )
