"""What a try's reply means for the delivery and for the endpoint."""

import logging
import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from django.db import transaction

from keystore.hook_alarms import tell_staff
from keystore.hooks import disable_endpoint
from keystore.models import DeliveryState, HookAttempt, HookDelivery, HookEndpoint
from keystore.sender import Reply

logger = logging.getLogger(__name__)

# Before each try, after the one before it: ten tries over 75 hours (Standard Webhooks).
WAITS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER = 0.1
GONE = 410
ASK_TO_WAIT = (429, 503)
LONGEST_ASKED_WAIT = timedelta(hours=24)
LONGEST_ASKED_HOLD = timedelta(hours=1)
SHORTEST_HOLD, LONGEST_HOLD = timedelta(seconds=5), timedelta(seconds=60)
# So many messages given up and nothing through for so long: nobody is there any more.
GIVEN_UP, GIVEN_UP_OVER = 3, timedelta(days=3)
MOST_SHOWN = 1000
SYSTEM = "system"


@transaction.atomic
def settle(delivery: HookDelivery, reply: Reply, *, lease_until: datetime, at: datetime) -> None:
    """Write down the try and what follows. A failed one counts only for who still has the lease;
    one that arrived counts in any case.
    """
    endpoints = HookEndpoint.objects.select_for_update(of=("self",), no_key=True)
    endpoint = endpoints.select_related("project").filter(pk=delivery.endpoint_id).first()
    rows = HookDelivery.objects.select_for_update(of=("self",), no_key=True)
    current = rows.filter(pk=delivery.pk).first()
    if endpoint is None or current is None or current.state == DeliveryState.DELIVERED:
        return
    if not reply.arrived and not _is_ours(current, lease_until):
        return
    _record_try(current, reply, at)
    if reply.arrived:
        _arrived(current, endpoint, reply, at)
    else:
        _failed(current, endpoint, reply, at)


def wait_after(attempts: int) -> timedelta:
    """How long after the `attempts`-th try the next one comes, not to the second."""
    return WAITS[attempts] * random.uniform(1 - JITTER, 1 + JITTER)


def asked_wait(text: str, at: datetime) -> timedelta:
    """What a Retry-After header asks for: seconds or a date. Nonsense asks for nothing."""
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return timedelta(0)
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - at).total_seconds()
    return min(max(timedelta(seconds=seconds), timedelta(0)), LONGEST_ASKED_WAIT)


def _is_ours(current: HookDelivery, lease_until: datetime) -> bool:
    return current.state == DeliveryState.PENDING and current.lease_until == lease_until


def _record_try(delivery: HookDelivery, reply: Reply, at: datetime) -> None:
    HookAttempt.objects.create(
        delivery=delivery,
        number=delivery.tries.count() + 1,
        status=reply.status,
        milliseconds=reply.milliseconds,
        error=reply.error,
        answer=reply.answer[:MOST_SHOWN],
        created_at=at,
    )


def _arrived(delivery: HookDelivery, endpoint: HookEndpoint, reply: Reply, at: datetime) -> None:
    _set(delivery, reply, state=DeliveryState.DELIVERED, finished_at=at)
    if endpoint.failing_since is not None or endpoint.held_until is not None:
        _hold(endpoint, since=None, until=None)


def _failed(delivery: HookDelivery, endpoint: HookEndpoint, reply: Reply, at: datetime) -> None:
    attempts = delivery.attempts + 1
    extra = {"delivery": delivery.public_id, "attempts": attempts, "why": reply.error}
    logger.warning("hooks.failed", extra=extra)
    asked = asked_wait(reply.retry_after, at) if reply.status in ASK_TO_WAIT else timedelta(0)
    given_up = reply.status == GONE or attempts >= len(WAITS)
    if given_up:
        _set(delivery, reply, state=DeliveryState.FAILED, finished_at=at)
    else:
        _set(delivery, reply, next_attempt_at=at + max(wait_after(attempts), asked))
    since = endpoint.failing_since
    _hold(endpoint, since=since or at, until=_held_until(since, asked, at))
    if reply.status == GONE:
        _switch_off(endpoint, "It answered 410 Gone.", at)
    elif given_up and _nobody_is_there(endpoint, at):
        _switch_off(endpoint, f"Nothing got through since {since:%Y-%m-%d %H:%M} UTC.", at)


def _held_until(since: datetime | None, asked: timedelta, at: datetime) -> datetime | None:
    """Until when it is left alone: not after one failure, then longer the longer it fails."""
    hold = min(asked, LONGEST_ASKED_HOLD)
    if since is not None:
        hold = max(hold, min(max((at - since) / 4, SHORTEST_HOLD), LONGEST_HOLD))
    return at + hold if hold else None


def _nobody_is_there(endpoint: HookEndpoint, at: datetime) -> bool:
    since = endpoint.failing_since
    if since is None or at - since < GIVEN_UP_OVER:
        return False
    given_up = endpoint.deliveries.filter(state=DeliveryState.FAILED, finished_at__gte=since)
    return given_up.count() >= GIVEN_UP


def _switch_off(endpoint: HookEndpoint, why: str, at: datetime) -> None:
    if not disable_endpoint(endpoint=endpoint, actor=SYSTEM, reason=why, at=at):
        return
    logger.error("hooks.endpoint_disabled", extra={"endpoint": endpoint.public_id, "why": why})
    endpoint.tell_staff_at = at
    endpoint.save(update_fields=["tell_staff_at"])
    transaction.on_commit(partial(tell_staff, at=at))


def _hold(endpoint: HookEndpoint, *, since: datetime | None, until: datetime | None) -> None:
    endpoint.failing_since, endpoint.held_until = since, until
    endpoint.save(update_fields=["failing_since", "held_until"])


def _set(delivery: HookDelivery, reply: Reply, **values: object) -> None:
    changes = {
        "attempts": delivery.attempts + 1,
        "last_status": reply.status,
        "last_error": reply.error,
        "lease_until": None,
        **values,
    }
    for name, value in changes.items():
        setattr(delivery, name, value)
    delivery.save(update_fields=list(changes))
