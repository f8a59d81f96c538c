"""End users at the API: with a token, and only at their own things."""

import pytest

from keystore.models import Consumer, StoredAnswer
from tests.keystore.tokens_cast import accept_tokens, user_client

REGISTER = "/api/v1/consumers/register"


@pytest.fixture
def ada(journal):
    accept_tokens(journal)
    return user_client("ada", journal, email="ada@a.example")


def test_user_registers_with_nothing_but_the_token(ada, journal):
    shown = ada.post(REGISTER, {}, format="json").json()
    assert (shown["user_id"], shown["email"]) == ("ada", "ada@a.example")
    assert ada.post(REGISTER, {"user_id": "ada"}, format="json").json()["id"] == shown["id"]


def test_user_registers_nobody_else(ada, alice):
    for other in (alice.external_id, alice.public_id, "new"):
        answer = ada.post(REGISTER, {"user_id": other}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (404, "consumer_not_found")
    assert list(Consumer.objects.values_list("external_id", flat=True)) == [alice.external_id]


def test_user_reads_their_own_record_alone(ada, alice):
    own = ada.post(REGISTER, {}, format="json").json()["id"]
    assert ada.get(f"/api/v1/consumers/{own}").json()["user_id"] == "ada"
    assert ada.get("/api/v1/consumers/ada").status_code == 200
    assert ada.get(f"/api/v1/consumers/{alice.external_id}").status_code == 404
    assert ada.get(f"/api/v1/consumers/{alice.public_id}").status_code == 404


def test_token_of_another_project_is_another_person(ada, journal, orbit):
    ada.post(REGISTER, {}, format="json")
    accept_tokens(orbit)
    assert user_client("ada", orbit).get("/api/v1/consumers/ada").status_code == 404


def test_project_that_is_not_the_tokens_is_refused(ada, orbit):
    answer = ada.post(REGISTER, {"project_id": orbit.slug}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "project_mismatch")


def test_apps_endpoints_refuse_tokens(ada):
    answer = ada.get("/api/v1/features")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


def test_idempotency_key_of_a_user_gives_the_answer_again(ada):
    key = {"HTTP_IDEMPOTENCY_KEY": "once"}
    first = ada.post(REGISTER, {}, format="json", **key)
    again = ada.post(REGISTER, {}, format="json", **key)
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert StoredAnswer.objects.get().app is None


def test_bad_token_is_told_what_is_wrong_with_it(ada, journal):
    answer = user_client("ada", journal, exp=1).get("/api/v1/consumers/ada")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert "expired" in answer.json()["detail"]
    assert answer["WWW-Authenticate"].startswith("Bearer")
