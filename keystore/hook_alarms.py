"""Telling staff that a hook endpoint was switched off, also when a process dies on the way.

The endpoint's row says that they are to be told, from the transaction that switched it off until
the mail server has taken the mail. At least once: whoever dies in between is followed by the next
sweep.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import send_mail

from keystore.models import HookEndpoint

logger = logging.getLogger(__name__)

TRY_AGAIN = timedelta(minutes=5)


def tell_staff(*, at: datetime) -> int:
    """Mail them about each endpoint that is due, outside any transaction; how many were told of.

    One that cannot be mailed comes again in a while.
    """
    due = HookEndpoint.objects.filter(tell_staff_at__lte=at).select_related("project")
    return sum(_tell_of(endpoint, at) for endpoint in due.order_by("pk"))


def _tell_of(endpoint: HookEndpoint, at: datetime) -> bool:
    again = at + TRY_AGAIN
    if not _moved(endpoint, endpoint.tell_staff_at, again):
        return False  # another process tells them
    if not _was_mailed(endpoint):
        return False
    return _moved(endpoint, again, None)


def _moved(endpoint: HookEndpoint, known: datetime | None, to: datetime | None) -> bool:
    rows = HookEndpoint.objects.filter(pk=endpoint.pk, tell_staff_at=known)
    return bool(rows.update(tell_staff_at=to))


def _was_mailed(endpoint: HookEndpoint) -> bool:
    if not settings.ALERT_EMAILS:
        return True  # nobody wants to know
    text = (
        f"{endpoint.url} of {endpoint.project} is told nothing more. {endpoint.disabled_because}\n"
        f"When it works again, switch it on and redeliver what failed: "
        f"{settings.PUBLIC_URL}/admin/keystore/hookendpoint/{endpoint.pk}/change/\n"
    )
    subject = f"Hook endpoint {endpoint.public_id} is switched off"
    try:
        send_mail(subject, text, None, settings.ALERT_EMAILS)
    except Exception:
        # Whatever the mail server does: the endpoint's page and the log say the same meanwhile.
        logger.exception("hooks.mail_failed", extra={"endpoint": endpoint.public_id})
        return False
    return True
