import pytest

from keystore.errors import InvalidJson
from keystore.parsers import MOST_BYTES, parse_json

REGISTER = "/api/v1/consumers/register"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": Infinity}',
        b"1e400",
        b"1" * 5000,
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        b"\xff",
        b"[" * 51 + b"]" * 51,
        b"[" * 100_000,
    ],
)
def test_json_that_others_choke_on_is_refused(body):
    with pytest.raises(InvalidJson):
        parse_json(body)


def test_ordinary_json_is_read():
    assert parse_json(b'{"a": [1, "\\\\u0000", null]}') == {"a": [1, "\\u0000", None]}
    assert parse_json(b"[" * 50 + b"]" * 50)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"user_id": NaN}', 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'"' + b"x" * MOST_BYTES + b'"', 413, "body_too_large"),
        (b"x" * 3_000_000, 413, "body_too_large"),
    ],
)
def test_bad_body_gets_a_problem(api, body, status, code):
    answer = api.generic("POST", REGISTER, body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"


def test_too_large_body_with_an_idempotency_key_gets_a_problem(api):
    body = b"x" * 3_000_000
    answer = api.generic(
        "POST", REGISTER, body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k1"
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
