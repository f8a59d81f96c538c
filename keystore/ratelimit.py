"""May this subject go on now? Never more than burst + rate x time, in however many processes.

GCRA: one number per subject, the instant at which its bucket is full again ("tat"). One script
in Redis, by Redis's clock, decides and takes. Without Redis each process admits its share.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 0.15
REST_SECONDS = 3.0  # how long a Redis that failed is left alone
MINUTE_US = 60_000_000
MOST_SUBJECTS = 50_000  # remembered without Redis
NEVER_SECONDS = 60  # told when a limit of 0 lets nobody through

# KEYS[1] tat in microseconds · ARGV interval, burst, cost
# -> allowed, microseconds until the bucket is full, microseconds until `cost` fits
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local room = interval * burst
local tat = tonumber(redis.call('GET', KEYS[1]) or now)
tat = math.min(math.max(tat, now), now + room)
local taken = tat + interval * cost
if taken - now > room then
    return {0, tat - now, taken - now - room}
end
if cost > 0 then
    redis.call('SET', KEYS[1], string.format('%.0f', taken),
               'PX', math.ceil((taken - now) / 1000) + 1)
end
return {1, taken - now, 0}
"""


@dataclass(frozen=True)
class Verdict:
    """`remaining` calls fit now; the bucket is full again after `reset_seconds`."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int
    reset_seconds: int


def take(*, subject: str, limit_per_minute: int, burst: int | None, cost: int = 1) -> Verdict:
    """Take `cost` calls of the subject's limit, or none if they do not fit.

    `burst` None: a minute's worth may come at once. Cost 0 only looks. Exact for limits up to
    600,000 a minute; above, the interval is rounded up and up to 1 % less is admitted.
    """
    if limit_per_minute <= 0:
        return Verdict(False, 0, 0, NEVER_SECONDS, NEVER_SECONDS)
    with _making:
        limiter = _limiter(settings.REDIS_URL)
    most = max(1, limit_per_minute if burst is None else burst)
    return limiter.take(subject, limit_per_minute, most, cost, settings.WEB_PROCESSES)


class Limiter:
    """Redis while it answers, this process's share while it does not."""

    def __init__(self, redis_url: str) -> None:
        # No retry: a reply that got lost would take twice.
        client = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._script = client.register_script(SCRIPT)
        self._breaker = Breaker(time.monotonic)
        self._local = LocalBuckets(time.monotonic)

    def take(
        self, subject: str, limit_per_minute: int, burst: int, cost: int, processes: int
    ) -> Verdict:
        interval = math.ceil(MINUTE_US / limit_per_minute)
        if self._breaker.may_try():
            try:
                answer = self._script(keys=[f"rl:{{{subject}}}"], args=[interval, burst, cost])
            except (redis.RedisError, OSError) as error:
                self._breaker.failed()
                logger.warning("rate limits without Redis: %s", type(error).__name__)
            else:
                self._breaker.worked()
                allowed, full_after, wait = cast(list[int], answer)
                return _verdict(bool(allowed), limit_per_minute, burst, interval, full_after, wait)
        share = max(1, burst // processes)
        slower = math.ceil(MINUTE_US * processes / limit_per_minute)
        fits, full_after, wait = self._local.take(subject, slower, share, cost)
        return _verdict(fits, limit_per_minute, share, slower, full_after, wait)


class Breaker:
    """Lets one caller in every REST_SECONDS find out whether Redis is back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until = 0.0
        self._broken = False

    def may_try(self) -> bool:
        if not self._broken:
            return True
        with self._lock:
            if self._clock() < self._closed_until:
                return False
            self._closed_until = self._clock() + REST_SECONDS
            return True

    def failed(self) -> None:
        with self._lock:
            self._broken = True
            self._closed_until = self._clock() + REST_SECONDS

    def worked(self) -> None:
        self._broken = False


class LocalBuckets:
    """The same algorithm in memory, for the time without Redis."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tats: dict[str, int] = {}

    def take(self, subject: str, interval: int, burst: int, cost: int) -> tuple[bool, int, int]:
        """As the script: whether `cost` fits, time until full, time until it fits."""
        room = interval * burst
        with self._lock:
            now = int(self._clock() * 1_000_000)
            tat = min(max(self._tats.get(subject, now), now), now + room)
            taken = tat + interval * cost
            if taken - now > room:
                return False, tat - now, taken - now - room
            if cost:
                self._make_place(now)
                self._tats[subject] = taken
            return True, taken - now, 0

    def _make_place(self, now: int) -> None:
        """Forget full buckets; when there are none, those that were filled first."""
        if len(self._tats) < MOST_SUBJECTS:
            return
        self._tats = {subject: tat for subject, tat in self._tats.items() if tat > now}
        while len(self._tats) >= MOST_SUBJECTS:
            del self._tats[next(iter(self._tats))]


def _verdict(
    allowed: bool, limit: int, burst: int, interval: int, full_after: int, wait: int
) -> Verdict:
    return Verdict(
        allowed=allowed,
        limit=limit,
        remaining=max(0, (burst * interval - full_after) // interval),
        retry_after_seconds=math.ceil(wait / 1_000_000),
        reset_seconds=math.ceil(full_after / 1_000_000),
    )


# Threads that came first together would each make a limiter, and admit a share of their own.
_making = threading.Lock()


@lru_cache(maxsize=4)
def _limiter(redis_url: str) -> Limiter:
    return Limiter(redis_url)
