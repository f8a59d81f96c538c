"""POST /api/v1/usage/events: what was used, told by an app."""

from datetime import datetime

from django.db import InterfaceError, OperationalError

from config.clock import now
from config.errors import DomainError
from config.hotway.database import djangos_connection
from config.hotway.holder import KeyHolder
from config.hotway.shape import JSON_TYPES, Answer, Door, Environ, body_of, is_small_json
from keystore.correlation import bound
from keystore.credentials import token_in
from keystore.lastused import note_use
from keystore.lines import Lines
from keystore.tokens import digest, is_plausible
from metering.alone import SCOPE, OneByOne
from metering.taking import Taken, answer_with, take
from metering.told import Told
from metering.wire import BATCH, MOST_BYTES, STRUCTURED, Envelope, parse

NO_CLOUD_HEADERS: dict[str, str] = {}
TYPES = JSON_TYPES | {BATCH, STRUCTURED}


class UsageDoor(Door):
    """Whatever is refused, Django refuses in its own words: counted twice is nothing."""

    methods = frozenset({"POST"})

    def __init__(self, lines: Lines, holder: KeyHolder) -> None:
        self._holder = holder
        self._one_by_one = OneByOne(lines)

    def is_for_us(self, environ: Environ) -> bool:
        return (
            environ["QUERY_STRING"] == ""
            and "HTTP_CE_SPECVERSION" not in environ  # the event is in the headers
            and "HTTP_IDEMPOTENCY_KEY" not in environ
            and is_small_json(environ, MOST_BYTES, TYPES)
        )

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        token, at = token_in(environ), now()
        try:
            envelope = parse(
                body_of(environ), content_type=environ["CONTENT_TYPE"], headers=NO_CLOUD_HEADERS
            )
            taken = self._alone(token, envelope, at)
            if taken is None:
                with bound(request_id):
                    taken = self._together(token, envelope, at)
        except (DomainError, OperationalError, InterfaceError):
            return None
        return None if taken is None else Answer(taken.status, taken.body, {})

    def _alone(self, token: str, envelope: Envelope, at: datetime) -> Taken | None:
        """In one statement; None: this cannot be said so quickly."""
        event = envelope.events[0]
        if not (envelope.single and isinstance(event, Told)) or event.api or event.key:
            return None
        if not (token.isascii() and is_plausible(token)):
            return None
        recorded = self._one_by_one.record(digest=digest(token), event=event, at=at)
        if recorded is None:
            return None
        asker, receipt = recorded
        note_use(key=asker, at=at)
        return answer_with([receipt], single=True)

    def _together(self, token: str, envelope: Envelope, at: datetime) -> Taken | None:
        asker = self._holder.asker(token, SCOPE, at)
        if asker is None:
            return None
        with djangos_connection():
            taken = take(envelope, project=asker.key.project, at=at)
        note_use(key=asker.key, at=at)
        return taken
