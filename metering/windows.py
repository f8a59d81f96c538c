"""Hours, days and months of a time zone, with nights of 23 and 25 hours. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.errors import InvalidInput

HOUR, DAY, MONTH = "hour", "day", "month"
WINDOWS = (HOUR, DAY, MONTH)
WHOLE = "whole"  # the span as one window: distinct values of its days do not add up
USUAL_SPAN = {HOUR: timedelta(days=1), DAY: timedelta(days=30), MONTH: timedelta(days=365)}
LONGEST_SPAN = {
    HOUR: timedelta(days=92),
    DAY: timedelta(days=1_100),
    MONTH: timedelta(days=7_400),
}
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end), of whole windows."""

    start: datetime
    end: datetime


def zone_named(name: str) -> ZoneInfo:
    """Raises InvalidInput for what is no IANA name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _wrong("timezone", "Send an IANA name such as Europe/Berlin.") from error


def span_of(*, start: str, end: str, window: str, zone: ZoneInfo, at: datetime) -> Span:
    """The whole windows that hold [start, end); each an instant, or a date of the zone, or empty.

    Raises InvalidInput.
    """
    last = instant_of(end, zone, "to") if end else at
    first = instant_of(start, zone, "from") if start else last - USUAL_SPAN[window]
    if not EARLIEST <= first < last <= LATEST:
        raise _wrong("from", "Send a from before to, both from 2000 to 2100.")
    if last - first > LONGEST_SPAN[window]:
        days = LONGEST_SPAN[window].days
        raise _wrong("from", f"Ask for at most {days} days by {window}, or use a longer window.")
    floor = start_of(window, first.astimezone(zone))
    ceiling = start_of(window, last.astimezone(zone))
    if ceiling.astimezone(UTC) < last:
        ceiling = end_of(window, ceiling)
    return Span(floor.astimezone(UTC), ceiling.astimezone(UTC))


def instant_of(text: str, zone: ZoneInfo, field: str) -> datetime:
    """A date is its midnight in the zone; an instant must name its offset."""
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong(field, "Send 2026-03-01, or an instant such as 2026-03-01T12:00:00Z.")


def start_of(window: str, at: datetime) -> datetime:
    """When the window that holds `at` began, in the zone of `at`."""
    if window == HOUR:
        passed = timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
        return (at.astimezone(UTC) - passed).astimezone(at.tzinfo)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight.replace(day=1) if window == MONTH else midnight


def end_of(window: str, start: datetime) -> datetime:
    """When the window that starts there ends, in the zone of `start`."""
    if window == HOUR:
        return (start.astimezone(UTC) + timedelta(hours=1)).astimezone(start.tzinfo)
    if window == DAY:
        later = start.date() + timedelta(days=1)
    else:
        later = (start.date().replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(later, time(), start.tzinfo)


def has_whole_hours(zone: ZoneInfo, span: Span) -> bool:
    """Whether hours of UTC are hours of the zone during all of the span."""
    at, step = span.start, timedelta(days=15)
    instants = [span.start, span.end]
    while at < span.end:
        instants.append(at)
        at += step
    offsets = (instant.astimezone(zone).utcoffset() or timedelta() for instant in instants)
    return all(offset % timedelta(hours=1) == timedelta() for offset in offsets)


def _wrong(field: str, fix: str) -> InvalidInput:
    error = {"location": f"query.{field}", "message": f"{field} is not usable.", "fix": fix}
    return InvalidInput(f"{field} is not usable: {fix}", errors=[error])
