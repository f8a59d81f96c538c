"""What a rate limit promises, and what one decision about it says."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import InvalidInput

MINUTE_SECONDS = 60
MINUTE = "minute"  # the name of a key's own limit, or its plan's
SECOND_US = 1_000_000
MOST_NAMED = 5  # limits beside the one per minute
MOST_CALLS = 1_000_000_000
LONGEST_WINDOW_SECONDS = 31 * 24 * 3600
NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
GRAINS = 256  # entries that a window remembers at most: 0.4 % of it is given up for that
NEVER_SECONDS = 60  # told when a limit of 0 lets nobody through


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `limit` calls in any `window_seconds`, wherever one begins to count.

    With `burst`: so many at once, and `limit` per window on top as time goes by.
    """

    limit: int
    window_seconds: int = MINUTE_SECONDS
    burst: int | None = None
    name: str = MINUTE

    @property
    def window_us(self) -> int:
        return self.window_seconds * SECOND_US

    @property
    def interval_us(self) -> int:
        """The time after which a burst has grown by one call."""
        return math.ceil(self.window_us / self.limit)

    @property
    def grain_us(self) -> int:
        """Calls so close to each other are remembered as one entry. 0: each on its own."""
        return self.window_us // GRAINS if self.limit > GRAINS else 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`remaining` calls fit now; all of `limit` fit again after `reset_seconds`."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int
    reset_seconds: int
    name: str = MINUTE
    window_seconds: int = MINUTE_SECONDS


def verdict_on(limit: Limit, allowed: bool, remaining: int, reset_us: int, wait_us: int) -> Verdict:
    return Verdict(
        allowed=allowed,
        limit=limit.limit,
        remaining=max(0, remaining),
        retry_after_seconds=math.ceil(wait_us / SECOND_US),
        reset_seconds=math.ceil(reset_us / SECOND_US),
        name=limit.name,
        window_seconds=limit.window_seconds,
    )


def nobody(limit: Limit) -> Verdict:
    """What a limit of 0 says."""
    return Verdict(
        False, 0, 0, NEVER_SECONDS, NEVER_SECONDS, limit.name, window_seconds=limit.window_seconds
    )


def tightest(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The one to show: of those that refuse the one to wait longest for, else the fullest."""
    refused = [one for one in verdicts if not one.allowed]
    if refused:
        return max(refused, key=lambda one: one.retry_after_seconds)
    return min(verdicts, key=lambda one: (one.remaining, -one.reset_seconds), default=None)


def all_allow(verdicts: Iterable[Verdict]) -> bool:
    return all(one.allowed for one in verdicts)


def normal_limits(named: Mapping[str, Any]) -> dict[str, dict[str, int | None]]:
    """Limits by name as they are stored. Raises InvalidInput for what is none."""
    if len(named) > MOST_NAMED:
        raise InvalidInput(f"A key has at most {MOST_NAMED} limits beside the one per minute.")
    return {name: _normal(name, terms) for name, terms in named.items()}


def _normal(name: str, terms: object) -> dict[str, int | None]:
    if not NAME.fullmatch(name) or name == MINUTE:
        raise InvalidInput(
            f"{name!r} does not name a limit: use lower-case letters, digits and _, such as day."
        )
    if not isinstance(terms, dict) or not set(terms) <= {"limit", "window_seconds", "burst"}:
        raise InvalidInput(f"{name}: give limit and window_seconds, and burst if there is one.")
    burst = terms.get("burst")
    return {
        "limit": _whole(name, "limit", terms, 0, MOST_CALLS),
        "window_seconds": _whole(name, "window_seconds", terms, 1, LONGEST_WINDOW_SECONDS),
        **({} if burst is None else {"burst": _whole(name, "burst", terms, 1, MOST_CALLS)}),
    }


def _whole(name: str, field: str, terms: Mapping[str, Any], least: int, most: int) -> int:
    value = terms.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInput(f"{name}: {field} must be a whole number from {least} to {most:,}.")
    return value
