"""The headers around a hot answer: those that Django's middleware put around the last one.

A frame is not written down here but seen: the first plain request of each kind goes to Django,
and what it answered with is kept, but for the headers that vary. So a change of middleware
changes the hot answers with it.
"""

from collections.abc import Mapping
from http import HTTPStatus

from config.hotway.shape import Answer

Header = tuple[str, str]
ALWAYS_VARY = frozenset({"X-Request-Id", "Content-Length"})


class Frame:
    """Headers in Django's order, with gaps."""

    def __init__(self, status: str, headers: list[Header], varying: frozenset[str]) -> None:
        self.status = status
        self._headers = headers
        self._gaps = [(place, name) for place, (name, _) in enumerate(headers) if name in varying]

    def around(self, values: Mapping[str, str]) -> list[Header]:
        headers = self._headers.copy()
        for place, name in self._gaps:
            headers[place] = (name, values[name])
        return headers


class Frames:
    """The frames that were seen, by path, method, status and whether TLS was used."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, int, bool], Frame] = {}

    def of(self, path: str, method: str, status: int, secure: bool) -> Frame | None:
        return self._seen.get((path, method, status, secure))

    def learn(
        self,
        place: tuple[str, str, bool],
        status: str,
        headers: list[Header],
        varying: frozenset[str],
    ) -> None:
        """Keep what Django put around an answer of this kind."""
        path, method, secure = place
        number = int(status[:3])
        if number < HTTPStatus.INTERNAL_SERVER_ERROR and not _sets_cookies(headers):
            frame = Frame(status, list(headers), varying | ALWAYS_VARY)
            self._seen[path, method, number, secure] = frame


def values_of(answer: Answer, request_id: str) -> dict[str, str]:
    return {
        **answer.varying,
        "X-Request-Id": request_id,
        "Content-Length": str(len(answer.body)),
    }


def _sets_cookies(headers: list[Header]) -> bool:
    return any(name.lower() == "set-cookie" for name, _ in headers)
