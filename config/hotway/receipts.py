"""POST of Stripe's events: verify, keep, acknowledge."""

import json

from billing import receipt
from billing.models import InboxState
from config.clock import now
from config.errors import DomainError
from config.hotway.shape import Answer, Door, Environ, body_of, is_small_json
from keystore.correlation import bound
from keystore.doorbell import ring
from keystore.lines import Lines


class ReceiptDoor(Door):
    """Whatever is refused, Django refuses in its own words; then nothing was stored here."""

    methods = frozenset({"POST"})

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def is_for_us(self, environ: Environ) -> bool:
        return environ["QUERY_STRING"] == "" and is_small_json(environ, receipt.MAX_BYTES)

    def answer(self, environ: Environ, request_id: str) -> Answer | None:
        try:
            with bound(request_id):
                kept = receipt.receive(
                    body=body_of(environ),
                    signature=environ.get("HTTP_STRIPE_SIGNATURE", ""),
                    at=now(),
                    insert=self._insert,
                )
        except DomainError:
            return None
        if kept.state == InboxState.PENDING:
            ring(receipt.WORK)
        return Answer(200, json.dumps(kept.told()).encode(), {})

    def _insert(self, values: receipt.Values) -> tuple[str, bool]:
        rows = self._lines.rows(receipt.PREPARED_NAME, receipt.PREPARED, receipt.as_texts(values))
        state, first_time = rows[0]
        return str(state), first_time == "t"
