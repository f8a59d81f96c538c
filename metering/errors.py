"""The refusals of metering: what was not counted, and what to do about it."""

from config.errors import Conflict, DomainError, InvalidInput, NotFound


class UnknownMeter(NotFound):
    code = "unknown_meter"


class InvalidQuantity(InvalidInput):
    code = "invalid_quantity"


class UsageExceeded(DomainError):
    """A hard limit, and no credits to pay for more."""

    code = "usage_exceeded"
    status = 429


class FeatureNotEntitled(DomainError):
    code = "feature_not_entitled"
    status = 403


class EventConflict(Conflict):
    """The event's id was used for another use."""

    code = "event_conflict"


class ReservationNotFound(NotFound):
    code = "reservation_not_found"


class ReservationExpired(Conflict):
    """What was kept back is free again: the use is to be told as an event."""

    code = "reservation_expired"


class ReservationEnded(Conflict):
    """It was settled or released before, otherwise than is asked now."""

    code = "reservation_ended"


class PackNotFound(NotFound):
    code = "pack_not_found"


class EventRejected(DomainError):
    """The one event of the request was not taken; `code` is that of its receipt."""

    code = "event_rejected"
    status = 422


class InvalidEvent(InvalidInput):
    """The event lacks a field, or a field is of another type or form."""

    code = "invalid_event"


class PropertiesTooLarge(InvalidInput):
    """The properties have more bytes than an event may carry."""

    code = "properties_too_large"


class UnknownApi(NotFound):
    code = "unknown_api"


class UnknownKey(NotFound):
    code = "unknown_key"


class TooOld(InvalidInput):
    """The event occurred longer ago than late events are taken."""

    code = "too_old"


class InTheFuture(InvalidInput):
    """The event says that it occurs later: a clock is wrong."""

    code = "in_the_future"


class TooManyEvents(DomainError):
    """A request holds at most 1,000 events."""

    code = "too_many_events"
    status = 413


class UnsupportedEventType(DomainError):
    """Events come as application/json or as CloudEvents in JSON."""

    code = "unsupported_media_type"
    status = 415


class EventNotFound(NotFound):
    code = "event_not_found"


class EventVoided(Conflict):
    """The event was taken back and counts for nothing."""

    code = "event_voided"
