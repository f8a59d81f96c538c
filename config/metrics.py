"""What Prometheus reads, for whoever may: with the token, or from this machine without one."""

import ipaddress
import logging
from secrets import compare_digest

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from config.clock import now
from config.http_metrics import http_text

logger = logging.getLogger(__name__)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus's text. Without a database only that it is away, and the HTTP counts."""
    if not may_read(request):
        refusal = HttpResponse("Metrics need their token.\n", "text/plain", status=401)
        refusal["WWW-Authenticate"] = "Bearer"
        return refusal
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def may_read(request: HttpRequest) -> bool:
    """Without a token only callers on this machine, and none that a proxy speaks for."""
    expected = settings.METRICS_TOKEN
    if expected:
        given = request.headers.get("Authorization", "")
        return compare_digest(given.encode(), f"Bearer {expected}".encode())
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def exposition() -> bytes:
    from billing.metrics import FromDatabase

    registry = CollectorRegistry()
    up = Gauge("latchkey_database_up", "1: the numbers below could be read", registry=registry)
    text = b""
    try:
        figures = CollectorRegistry()
        figures.register(FromDatabase(now()))
        text = generate_latest(figures)
        up.set(1)
    except Error as problem:
        logger.warning("metrics.unread", extra={"why": repr(problem)})
    return generate_latest(registry) + http_text() + text
