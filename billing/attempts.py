"""What each try to work an event off said, and which tries failed for the same reason."""

import re
from collections.abc import Iterable
from datetime import datetime

from billing.models import InboxAttempt, InboxEvent
from keystore.correlation import current_request_id
from keystore.masking import masked_in

LONGEST_SAID = 2000
LONGEST_KIND = 200
# What differs between two errors of one kind: ids, addresses in memory, numbers.
PARTICULARS = re.compile(r"\b[a-z]{2,6}_(?=\w*\d)\w{4,}|0x[0-9a-f]+|\b[0-9a-f]{16,}\b|\b\d+")


def kind_of(error: str) -> str:
    """The error without its ids and numbers, so that equal failures stand together."""
    one_line = " ".join(error.split())
    return PARTICULARS.sub("…", masked_in(one_line))[:LONGEST_KIND]


def note_attempts(*, events: Iterable[InboxEvent], outcome: str, said: str, at: datetime) -> None:
    """Keep what a try came to, for each event that it served; in the transaction of its end."""
    request_id = current_request_id()
    InboxAttempt.objects.bulk_create(
        InboxAttempt(
            event=event, outcome=outcome, said=said[:LONGEST_SAID], request_id=request_id, at=at
        )
        for event in events
    )
