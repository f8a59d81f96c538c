"""Sending what the outbox holds: claim, send outside any transaction, settle.

At least once: a worker that dies between the answer and the settlement leaves a lease, which runs
out, and the message goes again under the same id. An endpoint has one place at a time until it has
answered quickly, so that a slow one takes nothing from the others.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import InvalidToken
from django.db import connection, transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Subquery

from keystore import sender
from keystore.models import DeliveryState, HookDelivery, HookEndpoint
from keystore.outbox import body_of
from keystore.seal import unseal
from keystore.sender import Reply
from keystore.settlement import settle
from keystore.signatures import signed_headers

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)  # longer than a try and its settlement may take
BUDGET_SECONDS = 30.0
POLL_SECONDS = 0.2
PLACES = 32
PLACES_OF_QUICK = 4  # of one endpoint that has just answered within QUICK_MILLISECONDS
QUICK_MILLISECONDS = 1000
LOCK = "hooks:delivery"
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Errand:
    """A delivery that this process has leased."""

    delivery: HookDelivery
    lease_until: datetime


def deliver_due(*, clock: Clock, seconds: float = BUDGET_SECONDS) -> int:
    """Send what is due; how many tries were made. Begins no new one after `seconds`.

    One process at a time, so that hooks never take every worker: whoever finds another at it
    leaves, and the other looks once more after it has let go.
    """
    if connection.in_atomic_block:
        raise RuntimeError("Hooks are never sent inside a transaction.")
    drop_what_is_switched_off(at=clock())
    stop_at = time.monotonic() + seconds
    tries = 0
    while time.monotonic() < stop_at and _endpoints_with_work(clock()).exists():
        run = _Run(clock, stop_at)
        with _only_one() as alone:
            if not alone:
                return tries
            run.send_until_done()
        run.finish()
        tries += run.tries
        if not run.tries:
            return tries
    return tries


def drop_what_is_switched_off(*, at: datetime) -> int:
    """What was written while its endpoint was being switched off."""
    left = HookDelivery.objects.filter(
        state=DeliveryState.PENDING, endpoint__disabled_at__isnull=False
    )
    return left.update(state=DeliveryState.DROPPED, lease_until=None, finished_at=at)


class _Run:
    """One turn of sending: this thread claims and settles, the others only send."""

    def __init__(self, clock: Clock, stop_at: float) -> None:
        self.tries = 0
        self._clock = clock
        self._stop_at = stop_at
        self._flying: dict[Future[Reply], Errand] = {}
        self._quick: set[int] = set()
        self._slow: set[int] = set()
        self._pool = ThreadPoolExecutor(PLACES, thread_name_prefix="hooks")

    def send_until_done(self) -> None:
        while time.monotonic() < self._stop_at:
            self._fill()
            if not self._flying:
                return
            self._settle_finished(POLL_SECONDS)

    def finish(self) -> None:
        """Wait for what is under way; what hangs even so is left to its lease."""
        give_up = time.monotonic() + sender.TOTAL_SECONDS
        while self._flying and time.monotonic() < give_up:
            self._settle_finished(give_up - time.monotonic())
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        busy = Counter(errand.delivery.endpoint_id for errand in self._flying.values())
        free = PLACES - len(self._flying)
        full = [pk for pk, number in busy.items() if number >= self._places_of(pk)]
        endpoints = _endpoints_with_work(self._clock()).exclude(pk__in=full)
        if self._stop_at - time.monotonic() < sender.TOTAL_SECONDS:
            # They would keep this worker beyond its time.
            endpoints = endpoints.exclude(pk__in=self._slow).filter(failing_since=None)
        for pk in list(endpoints.values_list("pk", flat=True)[:free]):
            room = min(free, self._places_of(pk) - busy[pk])
            errands = _claim(pk, room, self._clock())
            for errand in errands:
                self._flying[self._pool.submit(_send, errand, self._clock())] = errand
            free -= len(errands)
            if not free:
                return

    def _places_of(self, endpoint_id: int) -> int:
        return PLACES_OF_QUICK if endpoint_id in self._quick else 1

    def _settle_finished(self, seconds: float) -> None:
        finished, _ = wait(self._flying, timeout=seconds, return_when=FIRST_COMPLETED)
        for one in finished:
            errand, reply = self._flying.pop(one), one.result()
            is_quick = reply.arrived and reply.milliseconds <= QUICK_MILLISECONDS
            (self._quick if is_quick else self._slow).add(errand.delivery.endpoint_id)
            (self._slow if is_quick else self._quick).discard(errand.delivery.endpoint_id)
            self.tries += 1
            settle(errand.delivery, reply, lease_until=errand.lease_until, at=self._clock())


def _due(at: datetime) -> Q:
    free = Q(lease_until=None) | Q(lease_until__lte=at)
    return free & Q(state=DeliveryState.PENDING, next_attempt_at__lte=at)


def _endpoints_with_work(at: datetime) -> QuerySet[HookEndpoint]:
    """Those that have something due, the healthy first, then who has waited longest."""
    not_held = Q(held_until=None) | Q(held_until__lte=at)
    due = HookDelivery.objects.filter(_due(at), endpoint=OuterRef("pk"))
    oldest = due.order_by().values("endpoint").annotate(oldest=Min("next_attempt_at"))
    endpoints = HookEndpoint.objects.filter(not_held, Exists(due), disabled_at=None)
    return endpoints.annotate(oldest=Subquery(oldest.values("oldest"))).order_by(
        F("failing_since").asc(nulls_first=True), "oldest"
    )


@transaction.atomic
def _claim(endpoint_id: int, room: int, at: datetime) -> list[Errand]:
    """Lease the oldest that are due; others that claim at the same time pass over them."""
    rows = HookDelivery.objects.filter(_due(at), endpoint_id=endpoint_id)
    locked = rows.order_by("pk").select_for_update(of=("self",), skip_locked=True, no_key=True)
    claimed = list(locked.select_related("message", "endpoint")[:room])
    lease_until = at + LEASE
    HookDelivery.objects.filter(pk__in=[one.pk for one in claimed]).update(lease_until=lease_until)
    return [Errand(one, lease_until) for one in claimed]


def _send(errand: Errand, at: datetime) -> Reply:
    """Runs in a thread of its own and touches no database."""
    delivery = errand.delivery
    body = body_of(delivery.message)
    try:
        signing_secrets = _secrets_of(delivery.endpoint, at)
    except InvalidToken:
        said = "its secret was sealed under a SECRET_KEY that is gone: roll the secret"
        return Reply(None, 0, error=said)
    headers = signed_headers(
        message_id=delivery.message.public_id,
        timestamp=int(at.timestamp()),
        body=body,
        signing_secrets=signing_secrets,
    )
    return sender.post(url=delivery.endpoint.url, body=body, headers=headers)


def _secrets_of(endpoint: HookEndpoint, at: datetime) -> Iterator[str]:
    sealed = [endpoint.sealed_secret]
    if endpoint.previous_until is not None and endpoint.previous_until > at:
        sealed.append(endpoint.sealed_previous_secret)
    return iter([unseal(one) for one in sealed])


@contextmanager
def _only_one() -> Iterator[bool]:
    """Whether this process may send now. PostgreSQL gives the lock back when the process dies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        # A connection that was lost has given the lock back already.
        if alone and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [LOCK])
