"""The page that explains every error code; a problem's `type` points into it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from rest_framework import exceptions

import config.wholebody  # noqa: F401  only the server loads it, and its errors belong to the list
from config.errors import DomainError
from config.problems import DRF_CODES

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class ErrorCode:
    code: str
    status: int
    meaning: str


@require_safe
def list_error_codes(request: HttpRequest) -> HttpResponse:
    return render(request, "docs/errors.html", {"codes": error_codes()})


def error_codes() -> list[ErrorCode]:
    """Every code that an answer can carry, each once, sorted."""
    known = {known.code: known for known in drf_codes()}
    for error in sorted(subclasses_of(DomainError), key=lambda error: error.__qualname__):
        meaning = (error.__doc__ or error.__name__).strip().splitlines()[0]
        known[error.code] = ErrorCode(error.code, error.status, meaning)
    return sorted(known.values())


def drf_codes() -> Iterator[ErrorCode]:
    for error in subclasses_of(exceptions.APIException):
        if error.default_code in DRF_CODES and error.__module__ == exceptions.__name__:
            code = DRF_CODES[error.default_code]
            yield ErrorCode(code, error.status_code, str(error.default_detail))


def subclasses_of(kind: type[T]) -> Iterator[type[T]]:
    for found in kind.__subclasses__():
        yield found
        yield from subclasses_of(found)
