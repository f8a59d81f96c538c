"""POST /api/v1/usage/events: what was used, told by an app."""

from django.db import InterfaceError, OperationalError

from config.clock import now
from config.errors import DomainError
from config.hotway.database import djangos_connection
from config.hotway.holder import KeyHolder
from config.hotway.shape import JSON_TYPES, Answer, Door, Environ, body_of, is_small_json
from keystore.correlation import bound
from keystore.credentials import token_in
from keystore.lastused import note_use
from metering.taking import take_events
from metering.wire import BATCH, MOST_BYTES, STRUCTURED

SCOPE = "usage:write"
TYPES = JSON_TYPES | {BATCH, STRUCTURED}


class UsageDoor(Door):
    """Whatever is refused, Django refuses in its own words: counted twice is nothing."""

    methods = frozenset({"POST"})

    def __init__(self, holder: KeyHolder) -> None:
        self._holder = holder

    def is_for_us(self, environ: Environ) -> bool:
        return (
            environ["QUERY_STRING"] == ""
            and "HTTP_CE_SPECVERSION" not in environ  # the event is in the headers
            and "HTTP_IDEMPOTENCY_KEY" not in environ
            and is_small_json(environ, MOST_BYTES, TYPES)
        )

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        at = now()
        asker = self._holder.asker(token_in(environ), SCOPE, at)
        if asker is None:
            return None
        try:
            with bound(request_id), djangos_connection():
                taken = take_events(
                    body_of(environ),
                    content_type=environ["CONTENT_TYPE"],
                    headers={},
                    project=asker.key.project,
                    at=at,
                )
        except (DomainError, OperationalError, InterfaceError):
            return None
        note_use(key=asker.key, at=at)
        return Answer(taken.status, taken.body, {})
