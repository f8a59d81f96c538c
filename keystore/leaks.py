"""A key that was found in public is revoked, and staff are told where it was found."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse

from keystore.doorbell import ring
from keystore.models import ApiKey, KeyLeak
from keystore.selectors import find_key
from keystore.services import revoke_key

logger = logging.getLogger(__name__)

ACTOR = "scanner"
LONGEST_URL = 500
LONGEST_SOURCE = 50
STILL_NEWS = timedelta(days=7)  # what could not be told by then is in the list
MOST_LINES = 50  # of one e-mail


@dataclass(frozen=True, slots=True)
class Find:
    """What looks like a key, and where it was found."""

    token: str
    kind: str
    url: str
    source: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the reporter learns: the token's SHA-256, and whether it is one of our keys."""

    token_hash: str
    kind: str
    is_key: bool


def take_in_finds(*, finds: Sequence[Find], at: datetime) -> list[Told]:
    """Revoke every key among the finds; each in a transaction of its own, so that one that fails
    leaves the others revoked, and a report that comes again does the rest.
    """
    return [_take_in(find, at) for find in finds]


def _take_in(find: Find, at: datetime) -> Told:
    key = find_key(find.token)
    if key is not None:
        note_leak(key=key, url=find.url, source=find.source, at=at)
    token_hash = hashlib.sha256(find.token.encode()).hexdigest()
    return Told(token_hash, find.kind, key is not None)


@transaction.atomic
def note_leak(*, key: ApiKey, url: str, source: str, at: datetime) -> KeyLeak:
    """End the key and remember the place. The same place again changes nothing."""
    url, source = _stored(url, LONGEST_URL), _stored(source, LONGEST_SOURCE)
    where = url or "a public place"
    revoked = revoke_key(key=key, actor=ACTOR, reason=f"Found at {where}", at=at)
    leak, is_new = KeyLeak.objects.get_or_create(
        key=key,
        url=url,
        defaults={
            "project": key.project,
            "source": source,
            "revoked": revoked,
            "found_at": at,
        },
    )
    if is_new:
        transaction.on_commit(partial(ring, "keystore.tasks.mail_leaks"))
    return leak


def mail_leaks(*, at: datetime) -> int:
    """Write to staff about leaks that they were not told of; how many were told.

    Marked before the mail goes out, unmarked when it cannot be sent: the next round tries again.
    """
    if not settings.ALERT_EMAILS:
        return 0
    due = KeyLeak.objects.filter(mailed_at=None, found_at__gte=at - STILL_NEWS)
    rows = list(due.select_related("key__consumer", "key__app", "project").order_by("pk")[:1000])
    taken = [row for row in rows if _mark(row, before=None, after=at)]
    if not taken:
        return 0
    count = len(taken)
    subject = f"Latchkey: {count} leaked key{'s' if count > 1 else ''}"
    try:
        send_mail(subject, _text(taken), settings.DEFAULT_FROM_EMAIL, settings.ALERT_EMAILS)
    except OSError as problem:
        logger.warning("leaks.mail_failed", extra={"why": repr(problem)})
        for row in taken:
            _mark(row, before=at, after=None)
        return 0
    return count


def _mark(row: KeyLeak, *, before: datetime | None, after: datetime | None) -> bool:
    return bool(KeyLeak.objects.filter(pk=row.pk, mailed_at=before).update(mailed_at=after))


def _text(leaks: Sequence[KeyLeak]) -> str:
    lines = [_line(leak) for leak in leaks[:MOST_LINES]]
    if len(leaks) > MOST_LINES:
        lines.append(f"... and {len(leaks) - MOST_LINES} more.\n")
    page = settings.PUBLIC_URL + reverse("admin:keystore_keyleak_changelist")
    told = "These keys were found where everybody can read them. None of them works any more.\n"
    return "\n".join([told, *lines, f"All of them: {page}"])


def _line(leak: KeyLeak) -> str:
    key = leak.key
    owner = f"app {key.app}" if key.app else f"consumer {key.consumer}"
    link = settings.PUBLIC_URL + reverse("admin:keystore_apikey_change", args=[key.pk])
    ended = "revoked now" if leak.revoked else "revoked before"
    return f"{key} of {owner}, {leak.project}: {ended}\n  found at: {leak.url}\n  {link}\n"


def _stored(text: str, longest: int) -> str:
    return text.replace("\x00", "")[:longest]
