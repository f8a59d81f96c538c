"""What to do when the service does not answer: how often to try, and whom to let in then."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

FAIL_OPEN = "open"
FAIL_CLOSED = "closed"
TRY_AGAIN = frozenset({409, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class FailPolicy:
    """`default` for features that `features` does not name: FAIL_OPEN or FAIL_CLOSED."""

    default: str = FAIL_CLOSED
    features: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.default, *self.features.values()):
            if name not in (FAIL_OPEN, FAIL_CLOSED):
                raise ValueError(f"{name!r} is no policy: use FAIL_OPEN or FAIL_CLOSED.")

    def lets_in(self, feature_code: str) -> bool:
        return self.features.get(feature_code, self.default) == FAIL_OPEN


@dataclass(frozen=True)
class Retries:
    """At most `tries` in all, with full jitter below `longest_seconds`."""

    tries: int = 3
    first_seconds: float = 0.2
    longest_seconds: float = 5.0

    def wait(self, tried: int, status: int | None, code: str, retry_after: str) -> float | None:
        """Seconds before the next try; None: give up. `status` None: no answer came.

        409 is tried again only while the same request still runs.
        """
        if tried >= self.tries:
            return None
        if status is not None and status not in TRY_AGAIN:
            return None
        if status == 409 and code != "idempotency_in_progress":
            return None
        if retry_after.isdigit():
            told = float(retry_after)
            return told if told <= self.longest_seconds else None
        longest = min(self.longest_seconds, self.first_seconds * 2 ** (tried - 1))
        return random.uniform(0, longest)
