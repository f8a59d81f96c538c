"""Whatever is sent, the answer is a refusal that says why: never a 5xx, never a page."""

import pytest

JSON = "application/json"
ENDPOINTS = [
    "/api/v1/checkout/session",
    "/api/v1/portal/session",
    "/api/v1/admin/grant",
    "/api/v1/admin/revoke",
    "/api/v1/keys/verify",
    "/billing/create-checkout-session",
    "/billing/webhook",
    "/webhooks/stripe",
    "/api/v1/webhooks/stripe",
]
BODIES = {
    "empty": (b"", JSON),
    "not json": (b"{", JSON),
    "a list": (b"[]", JSON),
    "a number": (b"7", JSON),
    "null": (b"null", JSON),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, JSON),
    "objects 100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON),
    "NaN": (b'{"user_id": NaN, "project_id": Infinity}', JSON),
    "1e400": (b'{"user_id": 1e400, "project_id": 1e400}', JSON),
    "NUL": (b'{"user_id": "a\\u0000b", "project_id": "\\u0000"}', JSON),
    "lone surrogate": (b'{"user_id": "\\ud800", "project_id": 1}', JSON),
    "10,000 digits": (b'{"user_id": ' + b"9" * 10_000 + b"}", JSON),
    "beyond bigint": (b'{"user_id": "u", "project_id": 9223372036854775808}', JSON),
    "not UTF-8": (b'{"user_id": "\xff\xfe"}', JSON),
    "UTF-16": ('{"user_id": "u"}'.encode("utf-16"), JSON),
    "wrong types": (b'{"user_id": {}, "project_id": [], "success_url": 1, "plan": {}}', JSON),
    "long text": (b'{"user_id": "' + b"x" * 100_000 + b'"}', JSON),
    "30 MB": (b'{"user_id": "' + b"x" * 30_000_000 + b'"}', JSON),
    "xml": (b"<a/>", "application/xml"),
    "form": (b"user_id=u", "application/x-www-form-urlencoded"),
    "broken multipart": (b"--x", "multipart/form-data; boundary=x"),
    "no type": (b"{}", ""),
    "nonsense type": (b"{}", "a/b/c; charset=\x7f"),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_bad_body_is_refused_with_a_problem(api, endpoint, body):
    content, content_type = BODIES[body]

    response = api.generic("POST", endpoint, content, content_type=content_type)

    assert 400 <= response.status_code < 500
    assert response["Content-Type"] == "application/problem+json"
    assert response["X-Request-Id"]


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "BREW", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_other_method_is_no_server_error(api, endpoint, method):
    assert api.generic(method, endpoint, b"{}", content_type=JSON).status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/entitlements?user_id=%00&project_id=%00",
        "/api/v1/entitlements?user_id=a&project_id=99999999999999999999",
        "/api/v1/entitlements?user_id=%ff%fe&project_id=1",
        "/api/v1/metrics/project/99999999999999999999/revenue",
        "/api/v1/metrics/project/%00/revenue",
        "/api/v1/../../etc/passwd",
        "/api/v1/checkout/session/%00",
        "/whoami?key=%00",
        "/api/" + "x" * 20_000,
    ],
)
def test_bad_address_is_refused(api, path):
    assert 400 <= api.get(path).status_code < 500


@pytest.mark.parametrize("token", ["", " ", "x", "lk_live_", "ä", "a b", "x" * 100_000, "\x00"])
def test_bad_key_is_refused(client, db, token):
    response = client.get("/api/v1/entitlements", headers={"X-API-Key": token})

    assert response.status_code in {400, 401, 404}
