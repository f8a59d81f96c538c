"""OpenFeature's remote evaluation protocol, and its official Python SDK against a real server."""

import json

import pytest
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from pytest_django.live_server_helper import LiveServer

from entitlements.models import Feature
from metering.quotas import take
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell

BULK = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("metering.api.check.now", lambda: NOON)


def furnish(journal, alice):
    """A flag, a limit and a config value for alice; `labs` is nobody's."""
    give(alice, plan=sell(journal, "export", limit=None, kind="boolean"))
    give(alice, plan=sell(journal, "tokens", limit=10))
    for code, config in (("theme", "dark"), ("model", {"name": "large", "size": 7})):
        feature = Feature.objects.create(project=journal, code=code, kind="config")
        give(alice, feature=feature, config=config)
    Feature.objects.create(project=journal, code="labs")
    return metered(journal)


@pytest.fixture
def tokens(journal, alice, clock):
    return furnish(journal, alice)


def evaluate(api, body, key="", **headers):
    path = f"{BULK}/{key}" if key else BULK
    sent = body if isinstance(body, bytes) else json.dumps(body)
    return api.post(path, sent, content_type="application/json", **headers)


def context(user="alice"):
    return {"context": {"targetingKey": user}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("export", True),
        ("labs", False),
        ("tokens", 10),
        ("theme", "dark"),
        ("model", {"name": "large", "size": 7}),
    ],
)
def test_each_kind_of_feature_is_a_flag(api, tokens, key, value):
    answer = evaluate(api, context(), key)
    assert (answer.status_code, answer.json()["value"]) == (200, value)
    assert answer.json()["reason"] == ("DISABLED" if key == "labs" else "TARGETING_MATCH")


def test_limit_tells_what_is_left(api, alice, tokens):
    take(consumer=alice, meter=tokens, quantity=4, event_id="", at=NOON)
    told = evaluate(api, context(), "tokens").json()
    assert (told["metadata"]["used"], told["metadata"]["remaining"]) == (4, 6)


def test_unlimited_is_the_largest_number(api, journal, bob, tokens):
    give(bob, plan=sell(journal, "tokens", limit=None))
    told = evaluate(api, context("bob"), "tokens").json()
    assert (told["value"], told["metadata"]["unlimited"]) == (2**53 - 1, True)


def test_config_that_the_user_has_not_leaves_the_default(api, bob, tokens):
    told = evaluate(api, context("bob"), "theme").json()
    assert (told["reason"], "value" in told) == ("DISABLED", False)


REFUSED = [
    (b"{", "PARSE_ERROR"),
    (b"[]", "INVALID_CONTEXT"),
    (b"{}", "INVALID_CONTEXT"),
    (b'{"context": {}}', "TARGETING_KEY_MISSING"),
    (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
    (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": "\\u0000"}}', "INVALID_CONTEXT"),
]


@pytest.mark.parametrize(("body", "code"), REFUSED)
@pytest.mark.parametrize("key", ["", "export"])
def test_refusals_are_in_the_protocols_words(api, tokens, body, code, key):
    refused = evaluate(api, body, key)
    assert (refused.status_code, refused.json()["errorCode"]) == (400, code)
    assert refused.json().get("key") == (key or None)


@pytest.mark.parametrize("key", ["nothing", "team/labs", "team%2Flabs"])
def test_unknown_flag_is_404(api, tokens, key):
    refused = evaluate(api, context(), key)
    assert (refused.status_code, refused.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


def test_all_flags_have_an_etag_that_outlives_usage(api, alice, tokens):
    first = evaluate(api, context())
    assert [flag["key"] for flag in first.json()["flags"]] == [
        *("export", "labs", "model", "theme", "tokens")
    ]
    take(consumer=alice, meter=tokens, quantity=4, event_id="", at=NOON)
    again = evaluate(api, context(), HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    other = evaluate(api, context("bob"), HTTP_IF_NONE_MATCH=first["ETag"])
    assert other.status_code == 200


def test_without_a_key_it_is_401(api, tokens):
    api.credentials()
    assert evaluate(api, context(), "export").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_official_sdk_works_unmodified(journal, alice, backend_key):
    furnish(journal, alice)
    server = LiveServer("127.0.0.1")
    try:
        headers = {"X-API-Key": backend_key}
        openfeature.set_provider(OFREPProvider(server.url, headers_factory=lambda: headers))
        client = openfeature.get_client()
        user = EvaluationContext(targeting_key="alice")
        assert client.get_boolean_value("export", False, user) is True
        assert client.get_boolean_value("labs", True, user) is False
        assert client.get_integer_value("tokens", 0, user) == 10
        assert client.get_string_value("theme", "light", user) == "dark"
        assert client.get_object_value("model", {}, user) == {"name": "large", "size": 7}
        found = client.get_boolean_details("nothing", True, user)
        assert (found.value, found.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
        nobody = client.get_boolean_details("export", False, EvaluationContext())
        assert nobody.error_code == ErrorCode.TARGETING_KEY_MISSING
        headers["X-API-Key"] = "wrong"
        assert client.get_boolean_details("export", False, user).error_code == ErrorCode.GENERAL
    finally:
        openfeature.clear_providers()
        server.stop()
