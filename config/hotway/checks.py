"""POST /api/v1/check: may a user use a feature? With `consume` or `reserve` it is taken as well."""

from django.db import Error

from config.clock import now
from config.errors import DomainError
from config.hotway.database import djangos_connection
from config.hotway.holder import KeyHolder
from config.hotway.shape import Answer, Door, Environ, body_of, is_small_json
from keystore.callers import holds_scope
from keystore.correlation import bound
from keystore.credentials import token_in
from keystore.lastused import note_use
from metering.asking import MOST_BYTES, question_in
from metering.checking import check
from metering.replies import UNFINISHED

SCOPE = "entitlements:read"
TAKING_SCOPE = "usage:write"
READS, TAKES = "reads", "takes"
OURS = frozenset({"ETag", "Cache-Control"})


class CheckDoor(Door):
    """Whatever is refused, Django refuses in its own words: then nothing was taken here."""

    methods = frozenset({"POST"})

    def __init__(self, holder: KeyHolder) -> None:
        self._holder = holder

    def is_for_us(self, environ: Environ) -> bool:
        return (
            environ["QUERY_STRING"] == ""
            and "HTTP_IDEMPOTENCY_KEY" not in environ
            and is_small_json(environ, MOST_BYTES)
        )

    def kind(self, environ: Environ) -> str:
        """An answer that took something has other headers than one that only reads."""
        try:
            return READS if question_in(body_of(environ)).only_reads else TAKES
        except DomainError:
            return READS

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        at = now()
        asker = self._holder.asker(token_in(environ), SCOPE, at)
        takes = self.kind(environ) == TAKES
        if asker is None or (takes and not holds_scope(asker.key.scopes, TAKING_SCOPE)):
            return None
        try:
            with bound(request_id), djangos_connection():
                reply = check(
                    body_of(environ),
                    project=asker.key.project,
                    if_none_match=environ.get("HTTP_IF_NONE_MATCH", ""),
                    at=at,
                )
        except DomainError:
            return None
        except Error as error:
            if takes:  # perhaps it was: Django says what happened, and does not try again
                environ[UNFINISHED] = error
            return None
        note_use(key=asker.key, at=at)
        own = {name: value for name, value in reply.headers.items() if name in OURS}
        return Answer(reply.status, reply.body, own)
