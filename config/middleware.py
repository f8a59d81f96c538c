"""What surrounds every request: its id and log line, its content policy, a lost database."""

import logging
import random
import re
import time
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from config import problems
from keystore.correlation import bound

GetResponse = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger("latchkey.request")

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNUSED_DEVICES = "camera=(), geolocation=(), microphone=()"
PROBES = frozenset({"/health", "/live", "/ready", "/metrics"})


class ProbeHostMiddleware:
    """Probes and scrapers come to the address of one process, which ALLOWED_HOSTS cannot name.

    What they get says nothing of the host, so they are answered as if they had named ours.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in PROBES and settings.ALLOWED_HOSTS:
            request.META["HTTP_HOST"] = settings.ALLOWED_HOSTS[0].lstrip(".")
        return self.get_response(request)


class RequestIdMiddleware:
    """Gives the request an id (the caller's, if it is sane), echoes it, and logs one line."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = chosen_request_id(request.headers.get("X-Request-Id", ""))
        started = time.perf_counter()
        with bound(request_id):
            response = self.get_response(request)
            log_request(request, response, seconds=time.perf_counter() - started)
        response["X-Request-Id"] = request_id
        return response


class NoNulMiddleware:
    """400 for a NUL in path or query: PostgreSQL's text cannot hold one, so nothing matches it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        if "\0" in request.path or "%00" in query or "\0" in query:
            return problems.bad_request(request, SuspiciousOperation())
        return self.get_response(request)


class ContentSecurityPolicyMiddleware:
    """Nothing but our own files runs or loads; the admin and the API's pages get what they need."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        response.headers.setdefault("Permissions-Policy", UNUSED_DEVICES)
        return response


class DatabaseDownMiddleware:
    """503 while the database is away or behind its migrations, so that callers and Stripe retry."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponse | None:
        if problems.is_database_down(exc):
            return problems.database_down(request, exc)
        if problems.is_api_path(request.path):  # a plain view; DRF's answer for themselves
            return problems.respond(request, exc)
        if isinstance(exc, UnreadablePostError):  # Django would call it our fault
            return problems.bad_request(request, exc)
        return None


def chosen_request_id(given: str) -> str:
    """The caller's, if it is sane, else one of ours: unique, which is all that it has to be."""
    return given if SANE_REQUEST_ID.fullmatch(given) else f"req_{random.getrandbits(128):032x}"


def log_request(request: HttpRequest, response: HttpResponse, *, seconds: float) -> None:
    """One line: method, path without query, status, milliseconds. Probes only when debugging."""
    level = logging.DEBUG if request.path in PROBES else logging.INFO
    milliseconds = round(seconds * 1000, 1)
    logger.log(
        level,
        "%s %s %s",
        request.method,
        request.path,
        response.status_code,
        extra={
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "ms": milliseconds,
        },
    )


def policy_for(path: str) -> str:
    """The Content-Security-Policy of a page at this path."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": " ".join(["'self'", *settings.STRIPE_PAGE_ORIGINS]),
    }
    for prefix, exceptions in EXCEPTIONS.items():
        if path.startswith(prefix):
            rules |= exceptions
    return "; ".join(f"{name} {value}" for name, value in rules.items())


EXCEPTIONS: dict[str, dict[str, str]] = {
    # Alpine.js, which Unfold is built on, evaluates the expressions in its attributes.
    "/admin/": {
        "script-src": "'self' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "form-action": "'self'",
    },
    # Swagger UI and ReDoc style themselves from JavaScript; ReDoc searches in a worker of its own.
    "/docs": {"style-src": "'self' 'unsafe-inline'"},
    "/redoc": {"style-src": "'self' 'unsafe-inline'", "worker-src": "blob:"},
}
