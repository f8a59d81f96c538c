"""In front of Django: a few exact requests are answered here, all others by it.

Nothing is decided here. The hot paths in config.hotway call what the views call, and know when
to leave a request to Django: whenever it is refused, odd, or not ready. FRONT_DOOR turns it off.
"""

import logging
from collections.abc import Callable, Iterable
from time import perf_counter

from django.conf import settings
from django.urls import resolve

from config.hotway.checks import CheckDoor
from config.hotway.decisions import VerifyDoor, WhoamiDoor
from config.hotway.entitlements import EntitlementsDoor
from config.hotway.frames import CHALLENGE, Frames, Header, Place, values_of
from config.hotway.holder import KeyHolder
from config.hotway.quick import QuickEntitlements
from config.hotway.receipts import ReceiptDoor
from config.hotway.shape import ODD, Door, Environ, StartResponse, Surroundings
from config.hotway.usage import UsageDoor
from config.http_metrics import hot_counts, name_of
from config.middleware import chosen_request_id
from keystore.lines import LineDown, Lines
from keystore.pushcache import PushCache

logger = logging.getLogger("latchkey.request")


QUICK = "/api/v1/entitlements"
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class FrontDoor:
    """The WSGI callable."""

    def __init__(
        self, django: Application, doors: dict[str, Door], cache: PushCache | None
    ) -> None:
        self.django = django
        self.cache = cache
        self._doors = doors
        self._routes = {path: name_of(resolve(path)) for path in doors}
        # A line for each would cost more than the answer: they are counted in /metrics instead.
        self._tells = logger.isEnabledFor(logging.DEBUG)
        self._quick = self._quick_way()
        self._frames = Frames()
        self._surroundings = Surroundings()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        quick = self._quick if path == QUICK else None
        if quick is not None:
            body = quick.answer(environ, start_response)
            if body is not None:
                return body
        started = perf_counter()
        door = self._doors.get(path)
        if door is None or method not in door.methods or not ODD.isdisjoint(environ):
            return self.django(environ, start_response)
        secure = self._surroundings.secure(environ)
        if secure is None or not door.is_for_us(environ):
            return self.django(environ, start_response)
        place = (path, door.kind(environ), secure)
        if self._frames.of(place, 200) is None:
            return self._learn(place, environ, start_response)
        request_id = chosen_request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            answer = door.answer(environ, request_id)
        except LineDown as error:
            logger.warning("left to Django, which says it in its own words: %s", error)
            answer = None
        if answer is None:
            return self.django(environ, start_response)
        frame = self._frames.of(place, answer.status, challenges=CHALLENGE in answer.headers)
        headers = frame.around(values_of(answer, request_id)) if frame else None
        if frame is None or headers is None:
            return self._learn(place, environ, start_response)
        if quick is not None and answer.status == 200:
            quick.remember(environ, frame)
        start_response(frame.status, headers)
        hot_counts.note((method, self._routes[path], answer.status), started)
        if self._tells:
            logger.debug("%s %s %s", method, path, answer.status)
        return (answer.body,)

    def _quick_way(self) -> QuickEntitlements | None:
        door = self._doors.get(QUICK)
        if self.cache is None or self._tells or not isinstance(door, EntitlementsDoor):
            return None
        proxy = settings.SECURE_PROXY_SSL_HEADER
        kind = ("GET", self._routes[QUICK], 200)
        return QuickEntitlements(self.cache, door, proxy[0] if proxy else "", kind)

    def _learn(
        self, place: Place, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Let Django answer, and remember with which headers."""

        def watch(status: str, headers: list[Header], *more: object) -> object:
            self._frames.learn(place, status, headers)
            return start_response(status, headers, *more)

        return self.django(environ, watch)


def front_door(django: Application) -> FrontDoor:
    """The front door of this process, by the settings."""
    cache = None
    if settings.PUSH_CACHE:
        cache = PushCache(most_bytes=settings.PUSH_CACHE_MEGABYTES * 1_000_000)
    lines = Lines()
    holder = KeyHolder(lines, cache)
    whoami = WhoamiDoor(holder)
    doors: dict[str, Door] = {
        QUICK: EntitlementsDoor(lines, cache),
        "/api/v1/keys/verify": VerifyDoor(holder),
        "/api/v1/whoami": whoami,
        "/whoami": whoami,
        "/api/v1/check": CheckDoor(holder),
        "/api/v1/usage/events": UsageDoor(lines, holder),
        "/webhooks/stripe": ReceiptDoor(lines),
        "/api/v1/webhooks/stripe": ReceiptDoor(lines),
    }
    return FrontDoor(django, doors, cache)
