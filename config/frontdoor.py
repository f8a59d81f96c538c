"""In front of Django: a few exact requests are answered here, all others by it.

Nothing is decided here. The hot paths in config.hotway call what the views call, and know when
to leave a request to Django: whenever it is refused, odd, or not ready. FRONT_DOOR turns it off.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from django.conf import settings

from config.hotway.entitlements import EntitlementsDoor
from config.hotway.frames import Frames, values_of
from config.hotway.shape import ODD, Answer, Environ, StartResponse, Surroundings
from config.middleware import chosen_request_id
from keystore.lines import LineDown, Lines
from keystore.pushcache import PushCache

logger = logging.getLogger("latchkey.request")


Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Door(Protocol):
    """One hot path."""

    methods: frozenset[str]
    varying: frozenset[str]

    def is_for_us(self, environ: Environ) -> bool: ...
    def answer(self, environ: Environ, request_id: str) -> Answer | None: ...


class FrontDoor:
    """The WSGI callable."""

    def __init__(
        self, django: Application, doors: dict[str, Door], cache: PushCache | None
    ) -> None:
        self.django = django
        self.cache = cache
        self._doors = doors
        self._frames = Frames()
        self._surroundings = Surroundings()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        door = self._doors.get(path)
        if door is None or method not in door.methods or not ODD.isdisjoint(environ):
            return self.django(environ, start_response)
        secure = self._surroundings.secure(environ)
        if secure is None or not door.is_for_us(environ):
            return self.django(environ, start_response)
        if self._frames.of(path, method, 200, secure) is None:
            return self._learn(door, environ, start_response, secure)
        request_id = chosen_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            answer = door.answer(environ, request_id)
        except LineDown as error:
            logger.warning("asked Django, which says it in its own words: %s", error)
            answer = None
        if answer is None:
            return self.django(environ, start_response)
        frame = self._frames.of(path, method, answer.status, secure)
        if frame is None:
            return self._learn(door, environ, start_response, secure)
        logger.debug("%s %s %s", method, path, answer.status)
        start_response(frame.status, frame.around(values_of(answer, request_id)))
        return (answer.body,)

    def _learn(
        self, door: Door, environ: Environ, start_response: StartResponse, secure: bool
    ) -> Iterable[bytes]:
        """Let Django answer, and remember with which headers."""
        place = (environ["PATH_INFO"], environ["REQUEST_METHOD"], secure)

        def watch(status: str, headers: list[tuple[str, str]], *more: object) -> object:
            self._frames.learn(place, status, headers, door.varying)
            return start_response(status, headers, *more)

        return self.django(environ, watch)


def front_door(django: Application) -> FrontDoor:
    """The front door of this process, by the settings."""
    cache = None
    if settings.PUSH_CACHE:
        cache = PushCache(most_bytes=settings.PUSH_CACHE_MEGABYTES * 1_000_000)
    lines = Lines()
    doors: dict[str, Door] = {"/api/v1/entitlements": EntitlementsDoor(lines, cache)}
    return FrontDoor(django, doors, cache)
