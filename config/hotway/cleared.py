"""A key that was found valid, asked about again: only its limits can say something else now.

What was decided holds as long as the cache holds the same key, which it drops when anything
changes that a decision looks at, and until the key expires. So nothing is decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from config.hotway.shape import Answer
from entitlements.held import HeldKey
from keystore.lastused import note_use
from keystore.limits import Limit, all_allow, tightest
from keystore.models import ApiKey
from keystore.ratelimit import take_all
from metering.decide import Decision, limit_headers, limits_shown

LIMITS = b'"rate_limit":'
TAIL = b',"quota":null}'
MOST_QUESTIONS = 8  # that are remembered of one key


@dataclass(frozen=True, slots=True)
class Cleared:
    """One question about a key, and its answer up to where the limits stand."""

    key: ApiKey
    subject: str
    limits: Sequence[Limit]
    head: bytes
    headers: Mapping[str, str]

    def ask(self, at: datetime) -> Answer | None:
        """The answer after one more call was taken; None: let it be decided, nothing was taken."""
        if self.key.has_expired(at):
            return None
        verdicts = take_all(subject=self.subject, limits=self.limits)
        if not all_allow(verdicts):
            return None
        note_use(key=self.key, at=at)
        body = self.head + orjson.dumps(limits_shown(verdicts))[1:-1] + TAIL
        return Answer(200, body, {**self.headers, **limit_headers(tightest(verdicts))})


def ask_again(held: HeldKey, question: object, at: datetime) -> Answer | None:
    """The answer to a question that was `clear`ed before, if the key still stands as it did."""
    cleared = held.cleared.get(question)
    return cleared.ask(at) if cleared is not None else None


def clear(held: HeldKey, question: object, decision: Decision, answer: Answer) -> Answer:
    """Remember the question if its answer depends on nothing but the key; gives the answer back.

    Where it came from counts for keys with networks: they are looked at each time.
    """
    head, found, _ = answer.body.rpartition(LIMITS)
    plain = decision.valid and not held.key.allowed_cidrs and answer.status == 200
    if plain and found and answer.body.endswith(TAIL) and len(held.cleared) < MOST_QUESTIONS:
        key = held.key
        held.cleared[question] = Cleared(
            key, key.limited_as, key.rate_limits, head, decision.headers
        )
    return answer
