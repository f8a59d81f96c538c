"""Celery's doorbells: what must be forgotten in time. Each only calls a service."""

from celery import shared_task

from config.clock import now
from keystore import (
    changelog,
    delivery,
    erasing,
    handover,
    hook_alarms,
    leaks,
    outbox,
    stored_answers,
)


@shared_task
def wipe_old_claims() -> int:
    """Forget the plaintext of keys that nobody collected."""
    return handover.wipe_old_claims(at=now())


@shared_task
def prune_stored_answers() -> int:
    """Forget answers that no retry will ask for any more."""
    return stored_answers.forget_old_answers(at=now())


@shared_task
def deliver_hooks() -> int:
    """Tell hook endpoints what waits in the outbox, and staff which were switched off."""
    hook_alarms.tell_staff(at=now())
    return delivery.deliver_due(clock=now)


@shared_task
def prune_messages() -> int:
    """Forget what was told long ago, and names of people who were erased."""
    return outbox.forget_old_messages(at=now()) + erasing.forget_told_names()


@shared_task
def forget_changes() -> int:
    """Empty the log of changes of what every process has heard of."""
    return changelog.forget_old_changes(at=now())


@shared_task
def mail_leaks() -> int:
    """Write to staff about keys that were found in public."""
    return leaks.mail_leaks(at=now())
