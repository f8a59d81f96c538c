"""May this subject go on now? Exact limits, in however many processes.

A plain limit remembers when it admitted what, so no window of its length, wherever it begins, holds
more. A limit with a burst is GCRA: one number, the instant at which the bucket is full again
("tat"); it admits burst + rate x time and never more. One script in Redis, by Redis's clock, looks
at every limit of the subject and takes from all or from none. Without Redis each process admits its
share.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from keystore.limits import Limit, Verdict, nobody, verdict_on
from keystore.local_limits import LocalLimits, share_of
from keystore.scriptline import ScriptLine

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 0.15
MOST_COMMANDS = 4_000  # that are remembered as they are sent
REST_SECONDS = 3.0  # how long a Redis that failed is left alone

# KEYS: one for each limit. ARGV: cost, then for each limit: its number of calls, microseconds of
# its window, of its grain, its burst (0: none), microseconds in which the burst grows by one.
# -> for each limit: fits, remaining, microseconds until all fits, microseconds until `cost` fits.
#
# A window is a list of pairs "instant, taken until then": first what lies behind the window, then
# one pair for each grain; an entry counts until the last call in it is a window old.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local cost = tonumber(ARGV[1])
local function whole(number) return string.format('%.0f', number) end
local function put(key, ...) redis.call('RPUSH', key, ...) end

local function look_at_window(key, l)
    local head = redis.call('LRANGE', key, 0, 3)
    if #head == 0 then
        return {cost <= l.limit, l.limit, 0, cost <= l.limit and 0 or l.window}
    end
    local tail = redis.call('LRANGE', key, -2, -1)
    local last, total = tonumber(tail[1]), tonumber(tail[2])
    if last > now then -- the clock was put back: all of it happened just now
        redis.call('DEL', key)
        put(key, 0, head[2], whole(now), tail[2])
        head, last = {0, head[2], now, total}, now
    end
    while #head == 4 and tonumber(head[3]) <= now - l.window do
        redis.call('LPOP', key)
        redis.call('LPOP', key)
        head = redis.call('LRANGE', key, 0, 3)
    end
    local base = tonumber(head[2])
    local used = total - base
    l.last, l.total, l.held = last, total, true
    local excess, wait = used + cost - l.limit, 0
    if excess > 0 then
        wait = l.window
        local at = 2
        while head[3] do
            if tonumber(head[4]) - base >= excess then
                wait = tonumber(head[3]) + l.window - now
                break
            end
            at = at + 2
            local pair = redis.call('LRANGE', key, at, at + 1)
            head = {0, 0, pair[1], pair[2]}
        end
    end
    return {excess <= 0, l.limit - used, used > 0 and last + l.window - now or 0, wait}
end

local function take_from_window(key, l)
    if not l.held then
        put(key, 0, 0, whole(now), whole(cost))
    elseif l.grain > 0 and math.floor(l.last / l.grain) == math.floor(now / l.grain) then
        redis.call('LSET', key, -2, whole(now))
        redis.call('LSET', key, -1, whole(l.total + cost))
    else
        put(key, whole(now), whole(l.total + cost))
    end
    redis.call('PEXPIRE', key, math.ceil(l.window / 1000) + 1)
    return l.window
end

local function look_at_bucket(key, l)
    local room = l.interval * l.burst
    local tat = tonumber(redis.call('GET', key) or now)
    l.tat = math.min(math.max(tat, now), now + room)
    local over = l.tat + l.interval * cost - now - room
    local free = math.floor((now + room - l.tat) / l.interval)
    return {over <= 0, free, l.tat - now, math.max(0, over)}
end

local function take_from_bucket(key, l)
    local taken = l.tat + l.interval * cost
    redis.call('SET', key, whole(taken), 'PX', math.ceil((taken - now) / 1000) + 1)
    return taken - now
end

local limits, told, fits = {}, {}, true
for i, key in ipairs(KEYS) do
    local function given(n) return tonumber(ARGV[1 + (i - 1) * 5 + n]) end
    local l = {limit = given(1), window = given(2), grain = given(3), burst = given(4),
               interval = given(5)}
    limits[i] = l
    told[i] = l.burst > 0 and look_at_bucket(key, l) or look_at_window(key, l)
    fits = fits and told[i][1]
end
local answer = {}
for i, key in ipairs(KEYS) do
    local l, t = limits[i], told[i]
    if fits and cost > 0 then
        t[3] = l.burst > 0 and take_from_bucket(key, l) or take_from_window(key, l)
        t[2] = t[2] - cost
    end
    answer[i] = {t[1] and 1 or 0, t[2], t[3], t[4]}
end
return answer
"""


def take(*, subject: str, limit_per_minute: int, burst: int | None, cost: int = 1) -> Verdict:
    """Take `cost` calls of the subject's one limit, or none if they do not fit.

    `burst` None: never more than the limit in any minute, all of it at once if it comes so.
    Cost 0 only looks.
    """
    limit = Limit(limit_per_minute, burst=None if burst is None else max(1, burst))
    return take_all(subject=subject, limits=[limit], cost=cost)[0]


def take_all(*, subject: str, limits: Sequence[Limit], cost: int = 1) -> list[Verdict]:
    """Take `cost` calls of every limit of the subject, or nothing of any if one refuses.

    Verdicts are in the order of the limits, whose names must differ. Limits with a burst are exact
    up to 600,000 a minute; above, their interval is rounded up and up to 1 % less is admitted.
    """
    closed = [limit for limit in limits if limit.limit <= 0]
    if closed or not limits:
        return [nobody(limit) for limit in closed]
    limiter = _limiters.get(settings.REDIS_URL) or _limiter(settings.REDIS_URL)
    return limiter.take(subject, limits, cost, settings.WEB_PROCESSES)


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
        self._ask = ScriptLine(client, self._script)
        self._command = lru_cache(maxsize=MOST_COMMANDS)(self._make_command)
        self._breaker = Breaker(time.monotonic)
        self._local = LocalLimits(time.monotonic)

    def take(
        self, subject: str, limits: Sequence[Limit], cost: int, processes: int
    ) -> list[Verdict]:
        if self._breaker.may_try():
            try:
                answer = self._ask(self._command(subject, tuple(limits), cost))
            except (redis.RedisError, OSError, ValueError) as error:
                self._breaker.failed()
                logger.warning("rate limits without Redis: %s", type(error).__name__)
            else:
                self._breaker.worked()
                rows = zip(limits, cast(list[list[int]], answer), strict=True)
                return [verdict_on(limit, bool(row[0]), *row[1:]) for limit, row in rows]
        shares = [share_of(limit, processes) for limit in limits]
        return self._local.take(subject, shares, cost)

    def _make_command(self, subject: str, limits: tuple[Limit, ...], cost: int) -> bytes:
        """The same few limits of a key are asked for at each of its requests."""
        return self._ask.command(
            keys=[f"rl:{{{subject}}}:{_kept_as(limit)}" for limit in limits],
            args=[cost, *(each for limit in limits for each in _told(limit))],
        )


def _kept_as(limit: Limit) -> str:
    """The two ways of counting keep different things: a limit that changes its way begins anew."""
    return f"{'window' if limit.burst is None else 'bucket'}:{limit.name}"


def _told(limit: Limit) -> tuple[int, int, int, int, int]:
    burst = limit.burst or 0
    return limit.limit, limit.window_us, limit.grain_us, burst, limit.interval_us


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


_making = threading.Lock()
_limiters: dict[str, Limiter] = {}


def _limiter(redis_url: str) -> Limiter:
    """Threads that came first together would each make one, and admit a share of their own."""
    with _making:
        if redis_url not in _limiters:
            _limiters[redis_url] = Limiter(redis_url)
        return _limiters[redis_url]
