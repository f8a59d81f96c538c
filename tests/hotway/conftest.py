"""The front door in this process, with a cache of its own, over real tables."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.db import connections

from tests.conftest import NOON

Environ = dict[str, Any]


@dataclass
class Reply:
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def told(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """Everything but what is of the one request."""
        headers = [pair for pair in self.headers if pair[0] not in ("X-Request-Id", "Date")]
        return self.status, headers, self.body


def environ_of(
    path: str, *, method: str = "GET", query: str = "", body: bytes = b"", **more: Any
) -> Environ:
    given = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body:
        given |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    return {**given, **more}


def call(application: Callable[..., Any], environ: Environ) -> Reply:
    """What the WSGI callable answers."""
    seen: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *more: object) -> None:
        seen[:] = [status, list(headers)]

    result = application(environ, start_response)
    body = b"".join(result)
    if hasattr(result, "close"):
        result.close()
    return Reply(seen[0], seen[1], body)


@pytest.fixture
def hot(settings, transactional_db):
    """Makes a front door; `cached=False` asks PostgreSQL each time."""
    from django.core.wsgi import get_wsgi_application

    from config.frontdoor import front_door

    made = []

    def open_front_door(*, cached: bool = True):
        settings.PUSH_CACHE = cached
        connections["default"].close()  # the next one hears of what is taken away
        made.append(front_door(get_wsgi_application()))
        return made[-1]

    yield open_front_door
    for door in made:
        if door.cache is not None:
            door.cache.close()


@pytest.fixture
def exports(journal):
    return journal.features.create(code="exports")


@pytest.fixture
def give(exports):
    """Gives a consumer the feature, so that an answer is ready."""
    from config.clock import now
    from entitlements.services import give_grant

    def give_exports(consumer, *, feature=exports, valid_to=None):
        return give_grant(
            consumer=consumer,
            feature=feature,
            valid_from=NOON,
            valid_to=valid_to or now() + timedelta(days=30),
            reason="a test",
            granted_by="sam",
            idempotency_key=f"{consumer.pk}-{feature.pk}-{valid_to}",
            actor="system",
            at=now(),
        )

    return give_exports
