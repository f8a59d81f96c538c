"""What can go wrong, so that a caller can tell its own mistake from our absence."""

from __future__ import annotations

from typing import Any


class LatchkeyError(Exception):
    """Any failure of a call."""


class Unreachable(LatchkeyError):
    """No answer, or only server errors, in all tries. What the call asked for may have happened."""


class ApiError(LatchkeyError):
    """The service refused. `code` is stable; `detail` says what to do about it."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "error"))
        self.detail = str(problem.get("detail", ""))
        self.request_id = str(problem.get("request_id", ""))
        self.errors: list[dict[str, Any]] = problem.get("errors") or []
        super().__init__(f"{status} {self.code}: {self.detail}")


class InvalidRequest(ApiError):
    """400, 413, 415 or 422: the request itself must change."""


class Unauthorized(ApiError):
    """401: no valid key."""


class Forbidden(ApiError):
    """403: the key may not do this."""


class NotFound(ApiError):
    """404: there is no such thing in this project."""


class Conflict(ApiError):
    """409: it is already so, or something else is going on with it."""


class RateLimited(ApiError):
    """429, after as many tries as were allowed."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}


def error_of(status: int, problem: object) -> ApiError:
    """The error for a refused call; a body that is no problem+json serves as its text."""
    told = problem if isinstance(problem, dict) else {"detail": str(problem)}
    return _BY_STATUS.get(status, ApiError)(status, told)
