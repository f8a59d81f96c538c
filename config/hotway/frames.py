"""The headers around a hot answer: those that Django's middleware put around the last one.

A frame is not written down here but seen: the first plain request of each kind goes to Django,
and what it answered with is kept, but for the headers that vary. So a change of middleware
changes the hot answers with it.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from config.hotway.shape import Answer

Header = tuple[str, str]
Place = tuple[str, str, bool]
CHALLENGE = "WWW-Authenticate"
# Those that are of the one answer; a hot answer that lacks one of them has no frame.
VARYING = re.compile(
    r"X-Request-Id|Content-Length|ETag|Retry-After|WWW-Authenticate"
    r"|X-(?:Latchkey-Code|Consumer|Consumer-Id|Plan|Key-Id|Key-Environment)"
    r"|X-(?:RateLimit|Quota)-.*"
)


class Frame:
    """Headers in Django's order, with gaps."""

    def __init__(self, status: str, headers: list[Header]) -> None:
        self.status = status
        self._headers = headers
        self._places = {name: place for place, (name, _) in enumerate(headers)}
        gaps = {name: place for name, place in self._places.items() if VARYING.fullmatch(name)}
        self._gaps = frozenset(gaps)
        self.has_only_known_gaps = gaps.keys() == {"X-Request-Id", "ETag", "Content-Length"}
        self._id, self._etag, self._length = (
            gaps.get(name, 0) for name in ("X-Request-Id", "ETag", "Content-Length")
        )

    def around(self, values: Mapping[str, str]) -> list[Header] | None:
        """The headers of an answer; None when it has others."""
        if not self._gaps <= values.keys() <= self._places.keys():
            return None
        headers = self._headers.copy()
        for name, value in values.items():
            headers[self._places[name]] = (name, value)
        return headers

    def answer_headers(self, request_id: str, etag: str, length: int) -> list[Header]:
        """The same for an answer that has these three alone, quicker."""
        headers = self._headers.copy()
        headers[self._id] = ("X-Request-Id", request_id)
        headers[self._etag] = ("ETag", etag)
        headers[self._length] = ("Content-Length", str(length))
        return headers


class Frames:
    """The frames that were seen, by path, kind and whether TLS was used, then by status."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], Frame] = {}

    def of(self, place: Place, status: int, *, challenges: bool = False) -> Frame | None:
        return self._seen.get((place, status, challenges))

    def learn(self, place: Place, status: str, headers: list[Header]) -> None:
        """Keep what Django put around an answer of this kind."""
        number = int(status[:3])
        names = {name for name, _ in headers}
        if number < HTTPStatus.INTERNAL_SERVER_ERROR and "Set-Cookie" not in names:
            self._seen[place, number, CHALLENGE in names] = Frame(status, list(headers))


def values_of(answer: Answer, request_id: str) -> dict[str, str]:
    return {
        **answer.headers,
        "X-Request-Id": request_id,
        "Content-Length": str(len(answer.body)),
    }
