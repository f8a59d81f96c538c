"""Between the server and Django: a request acts with its whole body, or not at all.

When a sender dies the server hands on what came as if it were all, and a body without a length
looks to Django like none. Acting with defaults, or with half of a form, is worse than refusing.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Protocol

from config.errors import DomainError

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

MOST_BYTES = 10_000_000  # more than any address takes: each refuses earlier, in its own words
NO_LENGTH = (
    "A body without Content-Length must be JSON, and must not be empty. Send the length, and "
    "Content-Length: 0 when there is no body."
)
CUT_OFF = "The body ended before its Content-Length. Nothing was changed: send the request again."


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
        if length.isascii() and length.isdigit():
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

    def read(self, _size: int = -1, /) -> bytes:
        raise Unreadable(LengthRequired(NO_LENGTH))

    readline = read


def _has_unknown_length(environ: Environ) -> bool:
    """Chunks, or frames of HTTP/2; without either a request without a length has no body."""
    is_http_2 = environ.get("SERVER_PROTOCOL") == "HTTP/2"
    return "HTTP_TRANSFER_ENCODING" in environ or (is_http_2 and "CONTENT_TYPE" in environ)


def _measure(environ: Environ) -> None:
    """Read a JSON body to its end: if it was cut off, it is no JSON any more."""
    body = environ["wsgi.input"].read(MOST_BYTES) if _is_json(environ) else b""
    environ["wsgi.input"] = BytesIO(body) if body else Refused()
    environ["CONTENT_LENGTH"] = str(len(body) or 1)


def _is_json(environ: Environ) -> bool:
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
