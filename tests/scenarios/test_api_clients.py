"""A program that knows us by our schema alone and tries what fits it, and what just does not.

API_TRIES=20 tries longer (`make explore` does).
"""

import os

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TRIES = settings(
    max_examples=int(os.environ.get("API_TRIES", "2")),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def as_told(transactional_db):
    """The schema as a caller of a running service reads it."""
    return schemathesis.openapi.from_wsgi("/api/schema?format=json", WSGIHandler())


def surprises(operation, headers, mode):
    """What a handful of requests to one operation brought to light."""
    found = []

    @TRIES
    @given(case=operation.as_strategy(generation_mode=mode))
    def try_some(case):
        try:
            case.call_and_validate(checks=CHECKS, headers=headers)
        except (Failure, FailureGroup) as problem:
            told = getattr(problem, "exceptions", [problem])
            found.extend(f"{operation.label}: {one}" for one in told)

    try_some()
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_surprises_us(as_told, alice, backend_key, mode):
    found = []
    for operation in as_told.get_all_operations():
        found += surprises(operation.ok(), {"X-API-Key": backend_key}, mode)
    assert not found, "\n\n".join(found)
