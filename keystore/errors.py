"""The refusals of keystore: who may not do what, in words that the caller can act on."""

from config.errors import Conflict, DomainError, InvalidInput, NotFound


class MissingApiKey(DomainError):
    code = "missing_api_key"
    status = 401


class InvalidApiKey(DomainError):
    """Unknown, revoked, expired and disabled keys look the same to whoever holds them."""

    code = "invalid_api_key"
    status = 401


class InvalidToken(DomainError):
    """An end user's token that is not accepted; the message says what is wrong with it."""

    code = "invalid_token"
    status = 401


class NotForUsers(DomainError):
    """The project's own backends may do this, its users not."""

    code = "not_for_users"
    status = 403


class ConsumerKey(DomainError):
    """A buyer's key opens the gateway's questions only, never a project's own API."""

    code = "consumer_key"
    status = 403


class InsufficientScope(DomainError):
    code = "insufficient_scope"
    status = 403


class ProjectMismatch(DomainError):
    code = "project_mismatch"
    status = 403


class ConsumerNotFound(NotFound):
    code = "consumer_not_found"


class KeyReplaced(Conflict):
    """The key has a successor: that one is rotated next."""

    code = "key_replaced"


class KeyTaken(Conflict):
    """Another consumer holds the key that is to be imported."""

    code = "key_taken"


class KeyNotReplaced(Conflict):
    """The key has no successor that could take over from it."""

    code = "key_not_replaced"


class KeyFollowsPurchase(Conflict):
    """What was bought decides about this part of the key."""

    code = "key_follows_purchase"


class KeyRevoked(Conflict):
    """The key has ended for good."""

    code = "key_ended"


class KeyNotPaidFor(Conflict):
    """Only a payment switches the key on again."""

    code = "key_not_paid_for"


class StillRunning(Conflict):
    """The first request with this Idempotency-Key has not answered yet."""

    code = "idempotency_in_progress"
    retry_after_seconds = 1


class OtherRequest(DomainError):
    """The Idempotency-Key belongs to a request with another path or body."""

    code = "idempotency_mismatch"
    status = 422


class InvalidJson(InvalidInput):
    code = "invalid_json"


class TooLarge(DomainError):
    code = "body_too_large"
    status = 413
