"""The one family of errors that the business code raises, and their shape in HTTP.

Rendered as RFC 9457 problem+json by `config.problems`; `code` is part of the API contract.
"""

from http import HTTPStatus


class DomainError(Exception):
    """A refusal that the caller can understand and act on.

    `message` says what is wrong and what to do. `errors` names the places:
    [{"location": "body.plan", "message": "...", "fix": "..."}].
    `retry_after_seconds` is set when the same request may succeed later.
    """

    code = "error"
    status = 400
    retry_after_seconds: int | None = None

    def __init__(
        self,
        message: str,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after_seconds: int | None = None,
        **details: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors or []
        self.details = details
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase


class InvalidInput(DomainError):
    code = "invalid_input"
    status = 400


class NotFound(DomainError):
    """The object does not exist for this caller: another project's object looks the same."""

    code = "not_found"
    status = 404


class Conflict(DomainError):
    code = "conflict"
    status = 409


class IdempotencyConflict(Conflict):
    """The same idempotency key was used for another wish."""

    code = "idempotency_conflict"


class Unavailable(DomainError):
    """Nothing was changed; the same request may succeed in a moment."""

    code = "unavailable"
    status = 503
    retry_after_seconds = 5
