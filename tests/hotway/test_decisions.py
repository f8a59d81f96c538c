"""What the front door says of a key, beyond what the differential test compares."""

import json
import time
from datetime import timedelta

import pytest

from config.clock import now
from keystore.services import issue_key, revoke_key
from tests.conftest import NOON
from tests.hotway.conftest import call, environ_of

PATH = "/api/v1/keys/verify"


@pytest.fixture
def door(hot):
    return hot()


@pytest.fixture
def issue(journal, alice):
    def issue_named(name, **terms):
        return issue_key(project=journal, owner=alice, name=name, actor="system", at=NOON, **terms)

    return issue_named


def ask(door, token, **more):
    return call(door, environ_of(PATH, HTTP_AUTHORIZATION=f"Bearer {token}", **more))


def code_of(reply):
    return json.loads(reply.body)["code"]


def told(reply):
    """The key's name, and what is left of its limit as each part of the answer says it."""
    body = json.loads(reply.body)
    left = [one["remaining"] for one in (body["rate_limit"], *body["rate_limits"])]
    return body["key"]["name"], [int(dict(reply.headers)["X-RateLimit-Remaining"]), *left]


def test_each_answer_says_what_is_left_now_and_of_which_key(door, issue):
    phone = issue("phone", own_limit_per_minute=10).plaintext
    laptop = issue("laptop", own_limit_per_minute=50).plaintext
    ask(door, phone)  # Django's, of which the headers are learnt

    answers = [told(ask(door, token)) for token in (phone, laptop, phone, laptop)]

    assert answers == [
        ("phone", [8] * 3),
        ("laptop", [49] * 3),
        ("phone", [7] * 3),
        ("laptop", [48] * 3),
    ]


def test_what_changed_of_a_key_is_said_from_then_on(door, issue):
    issued = issue("phone", own_limit_per_minute=10)
    for _ in range(3):
        assert told(ask(door, issued.plaintext))[0] == "phone"

    issued.key.name = "tablet"
    issued.key.save()
    assert told(ask(door, issued.plaintext))[0] == "tablet"
    revoke_key(key=issued.key, actor="system", reason="lost", at=NOON)

    assert code_of(ask(door, issued.plaintext)) == "REVOKED"


def test_key_that_expires_is_refused_from_then_on(door, issue):
    ends = now() + timedelta(seconds=0.7)
    token = issue("phone", own_limit_per_minute=10, expires_at=ends).plaintext
    codes = {code_of(ask(door, token)) for _ in range(3)}

    time.sleep(max(0.0, (ends - now()).total_seconds()))

    assert codes == {"VALID"}
    assert code_of(ask(door, token)) == "EXPIRED"


def test_key_for_some_networks_is_asked_each_time_where_from(door, issue):
    token = issue("phone", allowed_cidrs=["127.0.0.0/8"]).plaintext

    near = [code_of(ask(door, token)) for _ in range(3)]
    far = code_of(ask(door, token, REMOTE_ADDR="203.0.113.9"))

    assert (near, far) == (["VALID"] * 3, "IP_NOT_ALLOWED")


def test_other_questions_about_a_key_have_their_own_answers(door, issue):
    token = issue("phone", scopes=["maps:read"], own_limit_per_minute=100).plaintext

    def code(query):
        return code_of(ask(door, token, QUERY_STRING=query))

    asked = ["", "scopes=maps:read", "scopes=maps:write", "environment=test"]
    answers = [[code(query) for query in asked] for _ in range(3)]

    assert answers == [["VALID", "VALID", "INSUFFICIENT_SCOPE", "NOT_FOUND"]] * 3


def test_refusal_by_the_limit_takes_nothing_and_says_when_to_come_back(door, issue):
    token = issue("phone", own_limit_per_minute=3).plaintext

    answers = [ask(door, token) for _ in range(6)]

    assert [code_of(one) for one in answers] == ["VALID"] * 3 + ["RATE_LIMITED"] * 3
    assert all(1 <= int(dict(one.headers)["Retry-After"]) <= 60 for one in answers[3:])
    assert told(answers[-1])[1] == [0] * 3
