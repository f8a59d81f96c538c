"""GET /api/v1/entitlements for a user by the app's own id, with the key of an app."""

import re
from datetime import datetime
from hashlib import blake2b
from secrets import token_bytes
from urllib.parse import unquote

from config.clock import now
from config.hotway.shape import Answer, Door, Environ
from entitlements.answers import empty_body, etag_of
from entitlements.ready import Asker, ReadyAnswer, find, name_of, unpacked
from keystore.credentials import token_in
from keystore.ids import CONSUMER_ID
from keystore.lastused import note_use
from keystore.lines import Lines
from keystore.pushcache import PushCache
from keystore.tokens import digest, is_plausible

SCOPE = "entitlements:read"
# Printable ASCII, partly as %40: whatever is written otherwise is Django's to read.
LETTER = r"(?:[A-Za-z0-9._~@:|/-]|%[2-6][0-9A-Fa-f]|%7[0-9A-Ea-e])"
QUERY = re.compile(rf"user_id=({LETTER}{{1,255}})(?:&project_id=([A-Za-z0-9_-]{{1,100}}))?")
ETAG = re.compile(r'"[0-9a-f]{64}"')

Said = tuple[bytes, str]  # body and ETag


class EntitlementsDoor(Door):
    """`cache` None: PostgreSQL is asked each time."""

    methods = frozenset({"GET"})

    def __init__(self, lines: Lines, cache: PushCache | None) -> None:
        self._lines = lines
        self._cache = cache
        # The cache knows keys by a digest that means nothing outside of this process.
        self._seal = token_bytes(32)

    def is_for_us(self, environ: Environ) -> bool:
        return environ.get("CONTENT_LENGTH", "") in ("", "0")

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        """None: somebody who may do less, or asks for more, than can be said here."""
        asked = QUERY.fullmatch(environ["QUERY_STRING"])
        token = token_in(environ)
        if asked is None or not token.isascii():
            return None
        user_id, project = asked.groups()
        if "%" in user_id:
            user_id = unquote(user_id)
        said = self._said(token, user_id, project, now())
        return None if said is None else _conditional(said, environ.get("HTTP_IF_NONE_MATCH"))

    def _said(self, token: str, user_id: str, project: str | None, at: datetime) -> Said | None:
        cache = self._cache
        if cache is None or not cache.is_fresh():
            return self._read(None, token, user_id, project, at)
        asker = cache.get(self.sealed(token))
        if not isinstance(asker, Asker) or not _may_ask(asker, project, at):
            return self._read(cache, token, user_id, project, at)
        packed = cache.get(name_of(asker.project_id, user_id))
        said = unpacked(packed, at) if isinstance(packed, bytes) else None
        if said is None:
            return self._read(cache, token, user_id, project, at)
        note_use(key=asker, at=at)
        return said

    def _read(
        self, cache: PushCache | None, token: str, user_id: str, project: str | None, at: datetime
    ) -> Said | None:
        """From PostgreSQL, and into the cache."""
        if not is_plausible(token):
            return None
        ticket = cache.ticket() if cache is not None else None
        found = find(lines=self._lines, digest=digest(token), user_id=user_id)
        if found is None or not _may_ask(found.asker, project, at):
            return None
        said = _said_of(found.asker, found.knows_user, found.answer, user_id, at)
        if said is None:
            return None
        if cache is not None:
            cache.put(ticket, self.sealed(token), found.asker)
            if found.answer is not None and not found.is_merged:
                name = name_of(found.asker.project_id, user_id)
                cache.put(ticket, name, found.answer.packed())
        note_use(key=found.asker, at=at)
        return said

    def sealed(self, token: str) -> str:
        return blake2b(token.encode(), key=self._seal, digest_size=16).hexdigest()


def _may_ask(asker: Asker, project: str | None, at: datetime) -> bool:
    return asker.may_ask(SCOPE, at) and (project is None or project in asker.project_names)


def _said_of(
    asker: Asker, knows_user: bool, answer: ReadyAnswer | None, user_id: str, at: datetime
) -> Said | None:
    if answer is not None and answer.holds_at(at):
        return answer.body, answer.etag
    if knows_user or CONSUMER_ID.fullmatch(user_id):
        return None  # it must be computed, or found by our own id
    body = empty_body(user_id=user_id, project_id=asker.project_id)
    return body.encode(), etag_of(body)


def _conditional(said: Said, known: str | None) -> Answer | None:
    body, etag = said
    quoted = f'"{etag}"'
    headers = {"ETag": quoted}
    if known is None:
        return Answer(200, body, headers)
    if known == quoted:
        return Answer(304, b"", headers)
    return Answer(200, body, headers) if ETAG.fullmatch(known) else None
