"""Between the server and Django: a request acts with its whole body, or not at all.

When a sender dies the server hands on what came as if it were all, and a body without a length
looks to Django like none. Acting with defaults, or with half of a form, is worse than refusing.
Whatever type the body is said to have, address and body are read as UTF-8.
"""

import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Protocol

from config.errors import DomainError, InvalidInput

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

MOST_BYTES = 10_000_000  # more than any address takes: each refuses earlier, in its own words
NO_LENGTH = (
    "A body without Content-Length must be JSON, and must not be empty. Send the length, and "
    "Content-Length: 0 when there is no body."
)
CUT_OFF = "The body ended before its Content-Length. Nothing was changed: send the request again."
NOT_UTF_8 = "A form is UTF-8: leave other charsets and encoded parameters out of Content-Type."
# Parameters that Django reads as we mean them. It would read the address in another charset, too,
# and fails where the charset is none for texts.
PLAIN_TYPE = re.compile(
    r"[^;]*(?:;\s*(?:(?:charset=(?:utf-?8|\"utf-?8\")|boundary=(?:\"[^\"]*\"|[^;\"\s]+))\s*)?)*",
    re.IGNORECASE,
)
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class LengthRequired(DomainError):
    """Where its end can be recognised from the body itself it may come without a length."""

    code = "length_required"
    status = 411


class BodyCutOff(DomainError):
    """Whoever sent it died, or said a wrong length."""

    code = "body_cut_off"
    status = 400


class Unreadable(OSError):
    """What Django expects of a body that cannot be read; it carries our error along."""


class Source(Protocol):
    """A body as WSGI hands it on."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...


class WholeBodies:
    """The WSGI callable around Django."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH", "")
        if not _has_plain_type(environ) and _make_type_plain(environ) in FORMS:
            environ["wsgi.input"] = Refused(InvalidInput(NOT_UTF_8))
        elif length.isascii() and length.isdigit():
            environ["wsgi.input"] = OfLength(environ["wsgi.input"], int(length[:20]))
        elif not length and _has_unknown_length(environ):
            _measure(environ)
        return self._application(environ, start_response)


class OfLength:
    """Raises Unreadable where the body ends too early."""

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._left = length

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._source.read(wanted)
        while len(data) < wanted and (more := self._source.read(wanted - len(data))):
            data += more
        return self._counted(data, is_whole=len(data) == wanted)

    def readline(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        line = self._source.readline(wanted)
        return self._counted(line, is_whole=len(line) == wanted or line.endswith(b"\n"))

    def _counted(self, data: bytes, *, is_whole: bool) -> bytes:
        if not is_whole:
            raise Unreadable(BodyCutOff(CUT_OFF))
        self._left -= len(data)
        return data


class Refused:
    """Raises Unreadable for whoever reads."""

    def __init__(self, error: DomainError) -> None:
        self._error = error

    def read(self, _size: int = -1, /) -> bytes:
        raise Unreadable(self._error)

    readline = read


def _has_plain_type(environ: Environ) -> bool:
    return PLAIN_TYPE.fullmatch(environ.get("CONTENT_TYPE", "")) is not None


def _make_type_plain(environ: Environ) -> str:
    """Leave the parameters out: without a form they mean nothing."""
    environ["CONTENT_TYPE"] = kind = _kind_of(environ)
    return kind


def _has_unknown_length(environ: Environ) -> bool:
    """Chunks, or frames of HTTP/2; without either a request without a length has no body."""
    is_http_2 = environ.get("SERVER_PROTOCOL") == "HTTP/2"
    may_have_body = is_http_2 and environ["REQUEST_METHOD"] not in BODILESS
    return "HTTP_TRANSFER_ENCODING" in environ or may_have_body


def _measure(environ: Environ) -> None:
    """Read a JSON body to its end: if it was cut off, it is no JSON any more."""
    source, kind = environ["wsgi.input"], _kind_of(environ)
    if not kind and "HTTP_TRANSFER_ENCODING" not in environ and not source.read(1):
        return  # HTTP/2 announces no body where there is none, as with most DELETE
    is_json = kind == "application/json" or kind.endswith("+json")
    body = source.read(MOST_BYTES) if is_json else b""
    environ["wsgi.input"] = BytesIO(body) if body else Refused(LengthRequired(NO_LENGTH))
    environ["CONTENT_LENGTH"] = str(len(body) or 1)


def _kind_of(environ: Environ) -> str:
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
