import json

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from django.test import Client
from rest_framework import exceptions, serializers
from rest_framework.exceptions import ErrorDetail

from config import problems
from config.errors import Conflict, Unavailable
from keystore.correlation import bound


class Line(serializers.Serializer):
    quantity = serializers.IntegerField(min_value=1)


class Order(serializers.Serializer):
    plan = serializers.ChoiceField(["pro"])
    lines = Line(many=True)


def answer(rf, error, path="/api/v1/x"):
    with bound("req_1"):
        return problems.drf_exception_handler(error, {"request": rf.post(path)})


def test_domain_error_is_a_problem_with_all_its_parts(rf, settings):
    settings.PUBLIC_URL = "https://billing.example.com"
    where = [{"location": "body.plan", "message": "unknown", "fix": "Send pro."}]

    response = answer(rf, Conflict("Two tabs.", errors=where))

    assert response["Content-Type"] == "application/problem+json"
    assert json.loads(response.content) == {
        "type": "https://billing.example.com/docs/errors#conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "Two tabs.",
        "instance": "/api/v1/x",
        "code": "conflict",
        "request_id": "req_1",
        "errors": where,
    }


def test_details_are_told_but_never_replace_a_standard_part(rf):
    response = answer(rf, Conflict("Two tabs.", running="op_1", instance="evil"))

    assert (response.data["running"], response.data["instance"]) == ("op_1", "/api/v1/x")


def test_when_to_come_back_is_a_header(rf):
    assert answer(rf, Unavailable("x", retry_after_seconds=2))["Retry-After"] == "2"
    assert answer(rf, exceptions.Throttled(wait=0.2))["Retry-After"] == "1"
    assert "Retry-After" not in answer(rf, Conflict("x"))


def test_validation_error_names_each_place_and_what_to_do(rf):
    order = Order(data={"plan": "gold", "lines": [{"quantity": 1}, {"quantity": 0}, {}]})
    order.is_valid()

    response = answer(rf, exceptions.ValidationError(order.errors))

    assert response.data["code"] == "invalid_input"
    assert [(error["location"], error["fix"]) for error in response.data["errors"]] == [
        ("body.plan", "Send one of the documented values."),
        ("body.lines[1].quantity", "Send a larger number."),
        ("body.lines[2].quantity", "Send this field."),
    ]


def test_error_of_the_whole_body_and_of_the_query_are_located(rf):
    whole = exceptions.ValidationError({"non_field_errors": ["No."]})
    query = problems.drf_exception_handler(
        exceptions.ValidationError({"limit": ["Too many."]}), {"request": rf.get("/api/v1/x")}
    )

    assert answer(rf, whole).data["errors"][0]["location"] == "body"
    assert query.data["errors"][0]["location"] == "query.limit"


def test_fields_called_message_and_code_are_fields(rf):
    error = exceptions.ValidationError({"message": ["Long."], "code": ["Short."]})

    locations = [found["location"] for found in answer(rf, error).data["errors"]]

    assert locations == ["body.message", "body.code"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.NotAuthenticated(), 401, "missing_api_key"),
        (exceptions.AuthenticationFailed(), 401, "invalid_api_key"),
        (exceptions.AuthenticationFailed("x", code="own_code"), 401, "own_code"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.UnsupportedMediaType("text/x"), 415, "unsupported_media_type"),
        (exceptions.Throttled(), 429, "rate_limited"),
        (exceptions.ParseError(), 400, "malformed_body"),
        (exceptions.ValidationError([ErrorDetail("no", "no")]), 400, "invalid_input"),
        (Http404(), 404, "not_found"),
        (SuspiciousOperation(), 400, "bad_request"),
        (RequestDataTooBig(), 413, "body_too_large"),
        (OperationalError("gone"), 503, "unavailable"),
        (ZeroDivisionError("canary"), 500, "internal_error"),
    ],
)
def test_every_kind_of_error_has_its_status_and_code(rf, error, status, code):
    response = answer(rf, error)

    assert (response.status_code, response.data["code"]) == (status, code)
    assert response["Content-Type"] == "application/problem+json"


def test_refused_caller_is_told_how_to_authenticate(rf):
    assert answer(rf, exceptions.NotAuthenticated())["WWW-Authenticate"].startswith("Bearer")


def test_unknown_error_is_logged_and_not_told(rf, caplog):
    response = answer(rf, ZeroDivisionError("canary"))

    assert b"canary" not in response.content
    assert "canary" in caplog.text


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/", "/billing/nothing", "/webhooks/nothing", "/ofrep/v9"]
)
def test_unknown_path_of_the_api_is_a_problem(client, settings, path, debug):
    settings.DEBUG = debug

    response = client.post(path, b"{}", content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response.json()["request_id"] == response["X-Request-Id"]


def test_post_to_an_unknown_path_of_the_api_is_a_problem_and_not_a_forms_refusal():
    answer = Client(enforce_csrf_checks=True).post(
        "/api/v1/no-such-thing", b"{}", "application/json"
    )
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_unknown_page_is_a_page(client):
    response = client.get("/nothing")

    assert response.status_code == 404
    assert "Nothing is here" in response.content.decode()
    assert response["X-Request-Id"] in response.content.decode()
    assert "/nothing" not in response.content.decode()


def test_forged_host_is_refused_in_the_callers_language(client):
    response = client.get("/api/v1/nothing", headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


def test_database_lost_below_the_view_is_503_too(rf):
    try:
        raise OperationalError("gone")
    except OperationalError:
        response = problems.server_error(rf.get("/api/v1/x"))

    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_page_of_codes_lists_every_code_of_the_service(client):
    page = client.get("/docs/errors").content.decode()

    for code in ("conflict", "unavailable", "missing_api_key", "rate_limited", "internal_error"):
        assert page.count(f'id="{code}"') == 1
