"""How many requests each route answered, with which status, and how long they took.

Routes are told by their name in the URL map, so no caller can make new ones. With
PROMETHEUS_MULTIPROC_DIR the web processes of a machine count together in that folder; without it
each tells its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True)
class Figures:
    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram


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
    if match is None:
        return NO_ROUTE
    return match.view_name if match.url_name else match.route


def http_text() -> bytes:
    """The counts in Prometheus's text, of all processes where they share a folder."""
    registry = figures().registry
    if settings.HTTP_METRICS_FOLDER:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
