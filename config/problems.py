"""Every error as RFC 9457 problem+json; pages for people keep HTML."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from psycopg import errors as postgres
from rest_framework import exceptions
from rest_framework.views import set_rollback

from config import migration_state
from config.errors import DomainError, NotFound, Unavailable
from keystore.correlation import current_request_id

logger = logging.getLogger("latchkey.problems")

CONTENT_TYPE = "application/problem+json"
API_PREFIXES = ("/api/", "/billing/", "/webhooks", "/whoami", "/ofrep")

# DRF's words -> our codes. A code that an exception was given by hand stays as it is.
DRF_CODES = {
    "not_authenticated": "missing_api_key",
    "authentication_failed": "invalid_api_key",
    "permission_denied": "forbidden",
    "not_found": "not_found",
    "method_not_allowed": "method_not_allowed",
    "not_acceptable": "not_acceptable",
    "unsupported_media_type": "unsupported_media_type",
    "throttled": "rate_limited",
    "parse_error": "malformed_body",
    "error": "internal_error",
}
SAID = {"unsupported_media_type": "Send the body as JSON with Content-Type: application/json."}
FIXES = {
    "required": "Send this field.",
    "null": "Send a value, or leave the field out.",
    "blank": "Send a text that is not empty.",
    "invalid": "Send a value of the documented type and form.",
    "invalid_choice": "Send one of the documented values.",
    "does_not_exist": "Send the id of an object of your project.",
    "max_length": "Send a shorter value.",
    "min_length": "Send a longer value.",
    "max_value": "Send a smaller number.",
    "min_value": "Send a larger number.",
    "not_a_list": "Send a list.",
    "empty": "Send at least one element.",
    "unique": "Send a value that is not in use.",
}


class ProblemResponse(HttpResponse):
    """A problem; `data` is its body before it became JSON."""

    def __init__(self, body: Mapping[str, Any], **headers: str) -> None:
        super().__init__(
            json.dumps(body, cls=DjangoJSONEncoder),
            status=body["status"],
            content_type=CONTENT_TYPE,
        )
        self.data = dict(body)


class InternalError(DomainError):
    """Our fault; it is in the log under the request id."""

    code = "internal_error"
    status = 500


class BadRequest(DomainError):
    """The request itself is broken, whatever it asks for."""

    code = "bad_request"
    status = 400


class Forbidden(DomainError):
    code = "forbidden"
    status = 403


class BodyTooLarge(DomainError):
    code = "body_too_large"
    status = 413


def drf_exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """What DRF calls for whatever an API view raised."""
    set_rollback()
    return respond(context["request"], exc)


def respond(request: HttpRequest, exc: BaseException) -> HttpResponse:
    """The problem that tells the caller what went wrong; unknown errors are logged, not told."""
    if isinstance(exc, exceptions.APIException):
        return respond_to_drf(request, exc)
    error = as_domain_error(exc)
    if isinstance(error, InternalError):
        logger.error("Unhandled %s", type(exc).__name__, exc_info=exc)
    response = ProblemResponse(
        problem(
            request,
            status=error.status,
            code=error.code,
            detail=error.message,
            errors=error.errors,
            more=error.details,
        )
    )
    return with_headers(response, error.retry_after_seconds)


def respond_to_drf(request: HttpRequest, exc: exceptions.APIException) -> HttpResponse:
    status, code, detail, errors = exc.status_code, "invalid_input", "", []
    if isinstance(exc, exceptions.ValidationError):
        root = "query" if request.method in {"GET", "HEAD", "DELETE"} else "body"
        errors = list(flat_errors(exc.get_full_details(), root))
        detail = "; ".join(f"{error['location']}: {error['message']}" for error in errors)
    else:
        given = exc.get_codes()
        code = DRF_CODES.get(given, given) if isinstance(given, str) else "error"
        detail = SAID.get(code) or str(exc.detail)
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        status = 401  # DRF makes it 403 when an authentication class names no challenge
    body = problem(request, status=status, code=code, detail=detail, errors=errors)
    response = with_headers(ProblemResponse(body), getattr(exc, "wait", None))
    if challenge := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    return response


def as_domain_error(exc: BaseException) -> DomainError:
    """Django's and the database's errors in our words; what is unknown becomes InternalError."""
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, Http404):
        return NotFound("There is nothing at this address. Check it against /docs.")
    if isinstance(exc, PermissionDenied):
        return Forbidden("You may not do this.")
    if isinstance(exc, RequestDataTooBig | TooManyFieldsSent):
        return BodyTooLarge("The body is too large. Split the request.")
    if isinstance(exc, UnreadablePostError) and exc.args and isinstance(exc.args[0], DomainError):
        return exc.args[0]  # of config.wholebody
    if isinstance(exc, SuspiciousOperation | UnreadablePostError | UnicodeError):
        return BadRequest("The request is malformed. Check host, path, headers and encoding.")
    if is_database_down(exc):
        return Unavailable("The database cannot be reached. Nothing was changed; try again.")
    return InternalError("Something went wrong on our side. Quote the request_id to support.")


def is_database_down(exc: BaseException | None) -> bool:
    """No connection, a lost one, or tables that a pending migration is about to make."""
    if isinstance(exc, OperationalError | InterfaceError):
        return True
    return (
        isinstance(exc, ProgrammingError)
        and isinstance(exc.__cause__, postgres.UndefinedTable | postgres.UndefinedColumn)
        and migration_state.is_behind()
    )


def problem(
    request: HttpRequest,
    *,
    status: int,
    code: str,
    detail: str,
    errors: list[dict[str, str]],
    more: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    return {
        **(more or {}),
        "type": f"{settings.PUBLIC_URL}/docs/errors#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "code": code,
        "request_id": current_request_id(),
        "errors": errors,
    }


def with_headers(response: HttpResponse, retry_after_seconds: float | None) -> HttpResponse:
    if retry_after_seconds is not None:
        response["Retry-After"] = str(max(1, -int(-retry_after_seconds // 1)))
    if response.status_code == 401:
        response["WWW-Authenticate"] = 'Bearer realm="latchkey"'
    response["Cache-Control"] = "no-store"
    return response


def flat_errors(details: Any, location: str) -> Iterator[dict[str, str]]:
    """DRF's nested messages as a list: {"location": "body.items[2].plan", "message", "fix"}."""
    if is_leaf(details):
        fix = FIXES.get(details["code"], "Correct this value; /docs describes it.")
        yield {"location": location, "message": str(details["message"]), "fix": fix}
    elif isinstance(details, Mapping):
        for name, inner in details.items():
            place = f"{location}[{name}]" if isinstance(name, int) else f"{location}.{name}"
            yield from flat_errors(inner, location if name == "non_field_errors" else place)
    else:
        for index, inner in enumerate(details):
            yield from flat_errors(inner, location if is_leaf(inner) else f"{location}[{index}]")


def is_leaf(details: Any) -> bool:
    """One message, and not an object of the caller's that has fields of these names."""
    return (
        isinstance(details, Mapping)
        and set(details) == {"message", "code"}
        and isinstance(details["message"], str)
    )


def is_api_path(path: str) -> bool:
    return path.startswith(API_PREFIXES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, exception, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, exception, 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, Http404(), 404)


def server_error(request: HttpRequest) -> HttpResponse:
    exception = sys.exc_info()[1]
    if is_database_down(exception):
        return database_down(request, exception)
    return _answer(request, exception or InternalError("Something went wrong."), 500)


def database_down(request: HttpRequest, exc: BaseException | None) -> HttpResponse:
    """503 in the form that the caller reads, with when to come back."""
    logger.error("Database unavailable", exc_info=exc)
    if is_api_path(request.path):
        return respond(request, Unavailable("The database is not ready. Try again shortly."))
    return with_headers(_page(request, 503), Unavailable.retry_after_seconds)


@csrf_exempt  # a form's token is no answer to a program that mistyped a path
def unknown_path(request: HttpRequest, rest: str = "") -> HttpResponse:
    """The last route of the API: 404 as a problem, with DEBUG on as well."""
    return respond(request, Http404())


def _answer(request: HttpRequest, exc: BaseException, status: int) -> HttpResponse:
    if is_api_path(request.path):
        return respond(request, exc)
    return _page(request, status)


def _page(request: HttpRequest, status: int) -> HttpResponse:
    told = {"status": status, "request_id": current_request_id()}
    return render(request, "errors/page.html", told, status=status)
