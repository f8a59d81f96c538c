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
