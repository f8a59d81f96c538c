"""Telling whoever gave a grant that it is about to end: by e-mail, once for each end."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.db.models import F, Q, QuerySet
from django.urls import reverse

from entitlements.models import Effect, Grant, GrantSource
from keystore.admin.personal import PERMISSION, masked

logger = logging.getLogger(__name__)

AHEAD = timedelta(days=7)
STAFF = "staff:"
MOST_LINES = 50  # of one e-mail; the list in the admin has the rest


def remind_givers(*, at: datetime) -> int:
    """Tell each giver in one e-mail what ends within a week; returns how many grants were told.

    Only of grants that staff gave in the admin: what apps give is nobody's to renew. An end is
    marked before the mail goes out, so a crash in between leaves it untold rather than told twice.
    """
    told = 0
    rows = _due(at).select_related("consumer", "plan", "feature")
    for giver, grants in groupby(rows.order_by("granted_by", "valid_to", "pk"), _giver):
        told += _tell(giver, list(grants))
    return told


def _due(at: datetime) -> QuerySet[Grant]:
    in_the_admin = Q(idempotency_key__startswith="admin:") | Q(idempotency_key__startswith="batch_")
    new_end = Q(reminded_of=None) | ~Q(reminded_of=F("valid_to"))
    return Grant.objects.live(at).filter(
        in_the_admin,
        new_end,
        valid_to__lte=at + AHEAD,
        source=GrantSource.STAFF,
        effect=Effect.ALLOW,
        granted_by__startswith=STAFF,
    )


def _giver(grant: Grant) -> str:
    return grant.granted_by


def _tell(giver: str, grants: list[Grant]) -> int:
    people = get_user_model().objects.filter(username=giver.removeprefix(STAFF), is_active=True)
    person = people.exclude(email="").first()
    if person is None:
        return 0
    taken = [grant for grant in grants if _take(grant)]
    if not taken:
        return 0
    text = _text(taken, hide=not person.has_perm(PERMISSION))
    count = len(taken)
    subject = f"{count} grant{'s' if count > 1 else ''} of yours will end within a week"
    try:
        send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [person.email])
    except OSError:  # of SMTP too: the next round tries again
        logger.warning("reminder.not_sent", extra={"grants": count}, exc_info=True)
        _untake(taken)
        return 0
    return count


def _take(grant: Grant) -> bool:
    """Mark this end as told; False if another round has done so."""
    untold = Grant.objects.filter(pk=grant.pk, valid_to=grant.valid_to).filter(
        Q(reminded_of=None) | ~Q(reminded_of=grant.valid_to)
    )
    return bool(untold.update(reminded_of=grant.valid_to))


def _untake(grants: Iterable[Grant]) -> None:
    for grant in grants:
        marked = Grant.objects.filter(pk=grant.pk, reminded_of=grant.valid_to)
        marked.update(reminded_of=grant.reminded_of)


def _text(grants: list[Grant], *, hide: bool) -> str:
    lines = [_line(grant, hide=hide) for grant in grants[:MOST_LINES]]
    if len(grants) > MOST_LINES:
        lines.append(f"... and {len(grants) - MOST_LINES} more.\n")
    every = f"{settings.PUBLIC_URL}{reverse('admin:entitlements_grant_changelist')}?state=expiring"
    return "\n".join(
        [
            "You gave these grants. What they open closes when they end, unless you renew them.\n",
            *lines,
            f"All that end this week: {every}",
        ]
    )


def _line(grant: Grant, *, hide: bool) -> str:
    who = masked(grant.consumer.external_id) if hide else grant.consumer.external_id
    link = settings.PUBLIC_URL + reverse("admin:entitlements_grant_change", args=[grant.pk])
    ticket = f", ticket {grant.ticket}" if grant.ticket else ""
    return (
        f"{grant.plan or grant.feature} for {who} ends at {grant.valid_to:%Y-%m-%d %H:%M} UTC\n"
        f"  given because: {grant.reason}{ticket}\n"
        f"  renew it here: {link}\n"
    )
