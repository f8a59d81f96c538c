"""Telling whose limit is nearly used: by outgoing hook and by e-mail, once for each threshold.

A use that reaches a threshold marks its balance (`warn_due`); the job finds out which are new.
"""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.core.mail import get_connection, send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string

from keystore.doorbell import ring
from keystore.outbox import tell
from metering.amounts import shown
from metering.models import QuotaBalance, QuotaNotice

logger = logging.getLogger(__name__)

WARNING, EXCEEDED = "quota.warning", "quota.exceeded"
MOST_AT_ONCE = 500
TIMEOUT_SECONDS = 10  # of the mail server
TOO_OLD = timedelta(days=3)  # a mail that could not be sent for so long is no news


def warn_quotas(*, at: datetime) -> int:
    """Tell of every threshold that was reached since the last round; returns how many were."""
    due = list(_due().values_list("pk", flat=True)[:MOST_AT_ONCE])
    told = sum(_warn(pk, at) for pk in due)
    if told:
        ring("metering.tasks.mail_warnings")
    return told


def mail_warnings(*, at: datetime) -> int:
    """Send what is still to be mailed; returns how many mails went out.

    A notice is marked after its mail: a crash in between may send one twice, but never none.
    """
    waiting = QuotaNotice.objects.filter(mailed_at=None, told_at__gt=at - TOO_OLD)
    found = list(waiting.order_by("told_at").values_list("pk", flat=True)[:MOST_AT_ONCE])
    return sum(_mail(pk, at) for pk in found)


def reached(*, used: Decimal, limit: Decimal | None, thresholds: list[int]) -> list[int]:
    """The percentages of `limit` that `used` has come to. An unlimited or empty limit has none."""
    if not limit:
        return []
    return sorted(percent for percent in set(thresholds) if used * 100 >= limit * percent)


def _due() -> QuerySet[QuotaBalance]:
    return QuotaBalance.objects.filter(warn_due=True).order_by("pk")


@transaction.atomic
def _warn(pk: int, at: datetime) -> int:
    rows = _due().select_for_update(of=("self",), no_key=True, skip_locked=True)
    balance = rows.select_related("meter__feature", "consumer__project").filter(pk=pk).first()
    if balance is None:
        return 0  # another worker tells, or has told
    told = 0
    passed = reached(used=balance.used, limit=balance.limit, thresholds=balance.meter.thresholds)
    over = balance.period_end is not None and balance.period_end <= at
    for percent in [] if over else passed:
        told += _notice(balance, percent, at)
    balance.warn_due = False
    balance.next_warning = _next(balance, passed)
    balance.save(update_fields=["warn_due", "next_warning"])
    return told


def _next(balance: QuotaBalance, passed: list[int]) -> Decimal | None:
    ahead = [percent for percent in balance.meter.thresholds if percent not in passed]
    if balance.limit is None or not balance.limit or not ahead:
        return None
    return Decimal(balance.limit * min(ahead) / 100)


def _notice(balance: QuotaBalance, percent: int, at: datetime) -> bool:
    """Tell of one threshold unless it was told of this limit already."""
    limit = balance.limit
    assert limit is not None  # an unlimited one has no thresholds
    notice, is_new = QuotaNotice.objects.get_or_create(
        balance=balance, threshold=percent, defaults={"limit": limit, "told_at": at}
    )
    if not is_new:
        if notice.limit == limit:
            return False
        notice.limit, notice.told_at, notice.mailed_at = limit, at, None
        notice.save(update_fields=["limit", "told_at", "mailed_at"])
    tell(
        project=balance.consumer.project,
        kind=EXCEEDED if percent >= 100 else WARNING,
        data=_data(balance, percent),
        consumer=balance.consumer,
        at=at,
    )
    return True


def _data(balance: QuotaBalance, percent: int) -> dict[str, object]:
    feature = balance.meter.feature
    return {
        "user_id": balance.consumer.external_id,
        "consumer_id": balance.consumer.public_id,
        "project_id": balance.project_id,
        "meter": balance.meter.code,
        "feature_code": feature.code if feature else None,
        "threshold": percent,
        "limit": shown(balance.limit),
        "used": shown(balance.used),
        "enforcement": balance.enforcement,
        "period_start": balance.period_start,
        "resets_at": balance.period_end,
    }


@transaction.atomic
def _mail(pk: int, at: datetime) -> int:
    rows = QuotaNotice.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    notice = (
        rows.select_related("balance__meter", "balance__consumer__project")
        .filter(pk=pk, mailed_at=None)
        .first()
    )
    if notice is None:
        return 0
    balance = notice.balance
    # Of several thresholds that were passed at once only the highest is worth a mail.
    higher = balance.notices.filter(threshold__gt=notice.threshold, limit=notice.limit)
    wanted = bool(balance.consumer.email) and not higher.exists()
    if wanted and not _send(notice):
        return 0
    notice.mailed_at = at
    notice.save(update_fields=["mailed_at"])
    return int(wanted)


def _send(notice: QuotaNotice) -> bool:
    balance = notice.balance
    resets = balance.period_end
    told = {
        "name": balance.consumer.name,
        "meter": balance.meter.name or balance.meter.code,
        "unit": balance.meter.unit,
        "project": balance.consumer.project,
        "percent": notice.threshold,
        "used_up": notice.threshold >= 100,
        "hard": balance.enforcement == "hard",
        "limit": f"{shown(notice.limit):,}",
        "used": f"{shown(balance.used):,}",
        "resets_at": resets.astimezone(UTC) if resets else None,
    }
    # Names come from outside: a subject is one line.
    subject = " ".join(render_to_string("metering/quota_warning_subject.txt", told).split())
    text = render_to_string("metering/quota_warning.txt", told)
    try:
        send_mail(
            subject,
            text,
            settings.DEFAULT_FROM_EMAIL,
            [balance.consumer.email],
            connection=get_connection(timeout=TIMEOUT_SECONDS),
        )
    except OSError:  # of SMTP too: the next round tries again
        logger.warning("quota_warning.not_sent", extra={"notice": notice.pk}, exc_info=True)
        return False
    return True
