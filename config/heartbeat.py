"""The sign that beat, broker and worker all run: a task that leaves its time in Redis."""

import functools

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

KEY = "latchkey:heartbeat"
KEPT_SECONDS = 3600


def leave() -> None:
    """Note, by Redis's clock, that a worker has just done something."""
    seconds, _ = client().time()
    client().set(KEY, seconds, ex=KEPT_SECONDS)


def age_seconds() -> float | None:
    """Seconds since the last heart-beat, None without any; redis.RedisError if Redis is down."""
    left = client().get(KEY)
    seconds, microseconds = client().time()
    return None if left is None else seconds + microseconds / 1e6 - int(left)


@functools.cache
def client() -> redis.Redis:
    """A client that gives up at once: a probe must not wait."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
    )
