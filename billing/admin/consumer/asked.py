"""What the address of the consumer page asks for: an instant gone by, a page of the timeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

from billing.stories import KINDS


@dataclass(frozen=True)
class Asked:
    """`then` None: access as it is now. `before` None: the newest page of the timeline."""

    then: datetime | None = None
    before: datetime | None = None
    kind: str = ""
    problem: str = ""


def asked_of(query: Mapping[str, str]) -> Asked:
    """Never refuses: what cannot be read is said on the page."""
    then, before = query.get("at", ""), query.get("before", "")
    kind = query.get("kind", "")
    instant = _instant(then)
    problem = f"{then[:40]!r} is no date and time: shown is now." if then and not instant else ""
    return Asked(instant, _instant(before), kind if kind in KINDS else "", problem)


def _instant(text: str) -> datetime | None:
    """In UTC, unless it says otherwise."""
    try:
        found = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        return None
