"""Which requests are plain enough to be answered before Django: everything odd is Django's.

Nothing is decided here that Django decides: hosts and TLS are judged by Django's own request
object, once for each combination that comes.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.cookies import CookieError
from io import BytesIO
from typing import Any, Protocol

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

MOST_SURROUNDINGS = 500
# Any of these makes a request one for Django. Most mean nothing to the hot paths; what they
# would mean is Django's to know.
ODD = frozenset(
    {
        "HTTP_COOKIE",
        "HTTP_EXPECT",
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_RANGE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
        "HTTP_CONTENT_ENCODING",
    }
)
JSON_TYPES = frozenset({"application/json", "application/json; charset=utf-8"})
MOST_BYTES = 10_000
PLAIN_ACCEPT = frozenset({"*/*", "application/json", "application/json, */*"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hot path says, with the headers that are its own."""

    status: int
    body: bytes
    headers: dict[str, str]


class Door(Protocol):
    """One hot path."""

    methods: frozenset[str]

    def is_for_us(self, environ: Environ) -> bool: ...

    def kind(self, environ: Environ) -> str:
        """What the headers of the answer depend on, beside path and status."""
        return str(environ["REQUEST_METHOD"])

    def answer(self, environ: Environ, request_id: str) -> Answer | None: ...


class Surroundings:
    """Remembers which hosts and schemes Django takes as they are, and whether over TLS."""

    def __init__(self) -> None:
        proxy = settings.SECURE_PROXY_SSL_HEADER
        self._proxy = proxy[0] if proxy else ""
        self._known: dict[tuple[object, ...], bool] = {}

    def secure(self, environ: Environ) -> bool | None:
        """Whether the request came over TLS; None when it is not for us."""
        get = environ.get
        seen = (
            get("HTTP_HOST"),
            get("wsgi.url_scheme"),
            get(self._proxy),
            get("HTTP_ACCEPT"),
            get("SCRIPT_NAME"),
        )
        found = self._known.get(seen)
        if found is None:
            return self._judge(seen, environ)
        return found

    def _judge(self, seen: tuple[object, ...], environ: Environ) -> bool | None:
        # Without the type of its body, over which Django may stumble.
        request = WSGIRequest({**environ, "wsgi.input": BytesIO(), "CONTENT_TYPE": ""})
        try:
            request.get_host()
        except (DisallowedHost, CookieError):
            return None
        secure = request.is_secure()
        accepts = environ.get("HTTP_ACCEPT", "*/*") in PLAIN_ACCEPT
        redirected = settings.SECURE_SSL_REDIRECT and not secure
        if environ.get("SCRIPT_NAME") or redirected or not accepts:
            return None
        if len(self._known) < MOST_SURROUNDINGS:
            self._known[seen] = secure
        return secure


def is_small_json(
    environ: Environ, most_bytes: int = MOST_BYTES, types: Collection[str] = JSON_TYPES
) -> bool:
    """Whether a body of known length comes as JSON."""
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit() and len(length) < 10):
        return False
    return int(length) <= most_bytes and environ.get("CONTENT_TYPE", "") in types


def body_of(environ: Environ) -> bytes:
    """The body, which Django can read again afterwards; nothing of one that was cut off."""
    length = int(environ["CONTENT_LENGTH"])
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == length else b""
