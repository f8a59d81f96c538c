"""When a key, or anything with an end, still holds: the rules, whatever the row came as."""

from datetime import datetime


def has_ended(end: datetime | None, at: datetime) -> bool:
    """Whether something is over that holds until just before `end`; None: for ever."""
    return end is not None and end <= at


def is_on(revoked_at: object, disabled_at: object, app_is_active: bool) -> bool:
    """Whether nobody has switched a key off: neither itself, nor the app that it speaks for."""
    return not (revoked_at or disabled_at) and app_is_active
