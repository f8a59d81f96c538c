"""Entitlements from memory in one go: the same answer as `config.hotway.entitlements` gives.

At this pace each call of a function counts. So what was found out about a caller once, with all
that its requests have in common, is kept as a pass; what may change is looked at each time.
"""

import random
from collections.abc import Iterable
from time import perf_counter

from config.clock import now, seconds
from config.hotway.entitlements import SCOPE, EntitlementsDoor
from config.hotway.frames import Frame
from config.hotway.shape import ODD, Environ, StartResponse
from config.http_metrics import Kind, hot_counts
from config.middleware import SANE_REQUEST_ID
from entitlements.ready import END, ENDS, ETAG, Asker, name_of
from keystore.lastused import note_use
from keystore.pushcache import PushCache

MOST_PASSES = 2_000
NOTED_EVERY_SECONDS = 1.0
ASKS = "user_id="
NEVER = float("inf")
Seen = tuple[object, ...]


class Pass:
    """A caller whose key was good; it is good still while the cache holds the same asker."""

    __slots__ = ("asker", "ends", "frame", "name", "noted_at", "start")

    def __init__(self, name: str, asker: Asker, frame: Frame) -> None:
        self.name = name
        self.asker = asker
        self.frame = frame
        self.start = name_of(asker.project_id, "")
        self.ends = asker.expires_at.timestamp() if asker.expires_at else NEVER
        self.noted_at = 0.0


class QuickEntitlements:
    """Tried before everything else; whatever is not exactly as before goes the longer way."""

    def __init__(self, cache: PushCache, door: EntitlementsDoor, proxy_header: str, kind: Kind):
        self._cache = cache
        self._door = door
        self._proxy_header = proxy_header
        self._kind = kind
        self._passes: dict[Seen, Pass] = {}

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes] | None:
        started = perf_counter()
        one = self._passes.get(self._seen(environ))
        query: str = environ["QUERY_STRING"]
        if (
            one is None
            or not ODD.isdisjoint(environ)
            or query[:8] != ASKS
            or "&" in query
            or "%" in query
            or "+" in query
            or not query.isascii()
            or not self._cache.is_fresh()
            or self._cache.get(one.name) is not one.asker
        ):
            return None
        packed = self._cache.get(one.start + query[8:])
        at = seconds()
        if not isinstance(packed, bytes) or at >= one.ends or at >= ENDS.unpack_from(packed)[0]:
            return None
        if at - one.noted_at > NOTED_EVERY_SECONDS:
            one.noted_at = at
            note_use(key=one.asker, at=now())
        given = environ.get("HTTP_X_REQUEST_ID")
        if given is None or not SANE_REQUEST_ID.fullmatch(given):
            given = f"req_{random.getrandbits(128):032x}"
        headers = one.frame.answer_headers(
            given, f'"{packed[END:ETAG].decode()}"', len(packed) - ETAG
        )
        start_response(one.frame.status, headers)
        hot_counts.note(self._kind, started)
        return (packed[ETAG:],)

    def remember(self, environ: Environ, frame: Frame) -> None:
        """Give a pass to who was just answered, with these headers, the longer way."""
        token = environ.get("HTTP_X_API_KEY")
        if not token or token != token.strip() or not frame.has_only_known_gaps:
            return
        name = self._door.sealed(token)
        asker = self._cache.get(name)
        if isinstance(asker, Asker) and asker.may_ask(SCOPE, now()):
            if len(self._passes) >= MOST_PASSES:
                self._passes = {}
            self._passes[self._seen(environ)] = Pass(name, asker, frame)

    def _seen(self, environ: Environ) -> Seen:
        """Everything by which a request may differ in more than its query."""
        get = environ.get
        return (
            get("HTTP_X_API_KEY"),
            environ["REQUEST_METHOD"],
            get("HTTP_HOST"),
            get("HTTP_ACCEPT"),
            get("CONTENT_LENGTH"),
            get("HTTP_IF_NONE_MATCH"),
            get("wsgi.url_scheme"),
            get(self._proxy_header),
            get("SCRIPT_NAME"),
        )
