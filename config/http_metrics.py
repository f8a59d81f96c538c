"""How many requests each route answered, with which status, and how long they took.

Routes are told by their name in the URL map, so no caller can make new ones. With
PROMETHEUS_MULTIPROC_DIR the web processes of a machine count together in that folder; without it
each tells its own.
"""

import threading
import time
from bisect import bisect_left
from collections import Counter as Counted
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from keystore.lines import take_asked

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
EVERY_SECONDS = 1.0
Kind = tuple[str, str, int]  # method, route, status
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class Figures:
    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    asked: Counter


@cache
def figures() -> Figures:
    """Made with the first request: the folder must be there before anything is counted."""
    if settings.HTTP_METRICS_FOLDER:
        Path(settings.HTTP_METRICS_FOLDER).mkdir(parents=True, exist_ok=True)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    return Figures(
        registry,
        Counter(
            "latchkey_http_requests",
            "Requests by method, route and status",
            ["method", "route", "status"],
            registry=registry,
        ),
        Histogram(
            "latchkey_http_request_seconds",
            "How long requests took, by route",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        ),
        Counter(
            "latchkey_front_door_statements",
            "How often the front door asked PostgreSQL, by statement",
            ["statement"],
            registry=registry,
        ),
    )


class HttpMetricsMiddleware:
    """Counts each request when its answer is ready; outermost, so that every answer passes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        count(request, response.status_code, seconds=time.perf_counter() - started)
        return response


def count(request: HttpRequest, status: int, *, seconds: float) -> None:
    method = request.method if request.method in METHODS else "other"
    route = route_of(request)
    figures().requests.labels(method, route, status).inc()
    figures().seconds.labels(route).observe(seconds)


def route_of(request: HttpRequest) -> str:
    """The route's name, or its pattern where it has none; never what the caller wrote."""
    match = request.resolver_match
    return NO_ROUTE if match is None else name_of(match)


def name_of(match: ResolverMatch) -> str:
    return match.view_name if match.url_name else match.route


def count_many(method: str, route: str, status: int, taken: Sequence[float]) -> None:
    """Count answers of one kind together: one by one would cost as much as they did."""
    figures().requests.labels(method, route, status).inc(len(taken))
    histogram = figures().seconds.labels(route)
    histogram._sum.inc(sum(taken))
    for place, number in Counted(bisect_left(BUCKETS, each) for each in taken).items():
        histogram._buckets[place].inc(number)


class HotCounts:
    """What was answered before Django, counted once a second, and before anybody reads it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Kind, float]] = deque()
        self._counting = threading.Lock()
        self._counted_at = 0.0

    def note(self, kind: Kind, started: float) -> None:
        ended = time.perf_counter()
        self._waiting.append((kind, ended - started))
        if ended - self._counted_at > EVERY_SECONDS:
            self._counted_at = ended
            self.count()

    def count(self) -> None:
        kinds: dict[Kind, list[float]] = {}
        with self._counting:
            for _ in range(len(self._waiting)):
                kind, taken = self._waiting.popleft()
                kinds.setdefault(kind, []).append(taken)
        for (method, route, status), taken_by_all in kinds.items():
            count_many(method, route, status, taken_by_all)
        for statement, times in take_asked().items():
            figures().asked.labels(statement).inc(times)


hot_counts = HotCounts()


def http_text() -> bytes:
    """The counts in Prometheus's text, of all processes where they share a folder."""
    hot_counts.count()
    registry = figures().registry
    if settings.HTTP_METRICS_FOLDER:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
