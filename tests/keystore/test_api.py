import json

import pytest
from rest_framework.test import APIClient

from keystore.models import ApiKey, Consumer
from keystore.selectors import find_key
from keystore.services import disable_key, issue_key, revoke_key
from tests.conftest import NOON
from tests.together import at_once

REGISTER = "/api/v1/consumers/register"
KEYS = "/api/v1/keys"


@pytest.fixture
def anonymous():
    return APIClient()


@pytest.fixture
def reader(journal, backend):
    """A client whose key may read keys and nothing else."""
    issued = issue_key(
        project=journal, owner=backend, scopes=["keys:read"], actor="system", at=NOON
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.plaintext}")
    return client


def issue_for_alice(client, **body):
    return client.post(KEYS, {"user_id": "alice", **body}, format="json")


def told(response):
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize(
    "headers", [{}, {"HTTP_AUTHORIZATION": "Basic eDp5"}, {"HTTP_X_API_KEY": " "}]
)
def test_call_without_a_key_is_401(anonymous, db, headers):
    answer = anonymous.get(KEYS, **headers)

    assert told(answer) == (401, "missing_api_key")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_key_in_the_query_string_is_not_looked_at(anonymous, backend_key):
    answer = anonymous.get(KEYS, {"api_key": backend_key, "X-API-Key": backend_key})
    assert told(answer) == (401, "missing_api_key")


@pytest.mark.parametrize("state", ["unknown", "revoked", "disabled", "expired", "inactive app"])
def test_key_that_opens_nothing_looks_the_same_whatever_the_cause(api, backend, state):
    key = ApiKey.objects.get()
    if state == "unknown":
        api.credentials(HTTP_X_API_KEY="sk_somebody_else")
    elif state == "revoked":
        revoke_key(key=key, actor="system", reason="", at=NOON)
    elif state == "disabled":
        disable_key(key=key, actor="system", reason="", at=NOON)
    elif state == "expired":
        ApiKey.objects.update(
            created_at=NOON.replace(year=2020), expires_at=NOON.replace(year=2021)
        )
    else:
        backend.is_active = False
        backend.save(update_fields=["is_active"])

    answer = api.get(KEYS)

    assert told(answer) == (401, "invalid_api_key")
    assert "not valid" in answer.json()["detail"]


def test_consumers_key_does_not_open_the_projects_api(anonymous, journal, alice):
    issued = issue_key(project=journal, owner=alice, scopes=["*"], actor="system", at=NOON)
    answer = anonymous.get(KEYS, HTTP_X_API_KEY=issued.plaintext)
    assert told(answer) == (403, "consumer_key")


def test_scope_opens_what_it_names_and_nothing_else(reader, alice):
    assert reader.get(KEYS, {"user_id": "alice"}).status_code == 200
    assert told(issue_for_alice(reader)) == (403, "insufficient_scope")
    assert told(reader.post(REGISTER, {"user_id": "x"}, format="json")) == (
        403,
        "insufficient_scope",
    )


def test_register_then_retrieve(api, journal):
    first = api.post(REGISTER, {"user_id": "carol", "email": "c@example.com"}, format="json")
    second = api.post(REGISTER, {"external_id": "carol"}, format="json")

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["email"] == "c@example.com"
    assert api.get(f"/api/v1/consumers/{first.json()['id']}").json() == first.json()
    assert api.get("/api/v1/consumers/carol").json() == first.json()


def test_consumer_of_another_project_is_404(api, mallory):
    assert told(api.get(f"/api/v1/consumers/{mallory.public_id}")) == (404, "not_found")
    assert told(api.get("/api/v1/consumers/mallory")) == (404, "not_found")


@pytest.mark.parametrize("project_id", ["orbit", 999999])
def test_other_project_id_in_the_body_is_403(api, orbit, project_id):
    answer = api.post(REGISTER, {"user_id": "x", "project_id": project_id}, format="json")

    assert told(answer) == (403, "project_mismatch")
    assert Consumer.objects.count() == 0


def test_own_project_may_be_named_by_number_slug_or_id(api, journal):
    for name in (journal.pk, journal.slug, journal.public_id):
        answer = api.post(REGISTER, {"user_id": "x", "project_id": name}, format="json")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": ""},
        {"user_id": "x" * 256},
        {"user_id": "x", "email": "no"},
        [],
        "text",
        None,
    ],
)
def test_bad_registration_is_400_and_registers_nobody(api, body):
    answer = api.generic("POST", REGISTER, json.dumps(body), content_type="application/json")

    assert answer.status_code == 400
    assert Consumer.objects.count() == 0


def test_metadata_has_its_size(api, alice):
    assert issue_for_alice(api, metadata={"plan": "x" * 9_000}).status_code == 400
    assert issue_for_alice(api, metadata={"note": "x" * 7_000}).status_code == 201


def test_issued_key_is_shown_once(api, alice):
    answer = issue_for_alice(api, name="laptop", scopes=["read"], limit_per_minute=7)

    assert answer.status_code == 201
    assert find_key(answer.json()["key"]).public_id == answer.json()["id"]
    listed = api.get(KEYS, {"user_id": "alice"}).json()["data"]
    assert [one["limit_per_minute"] for one in listed] == [7]
    assert "key" not in listed[0]
    assert answer.json()["key"] not in str(listed)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"user_id": "nobody"}, 404),
        ({"user_id": "mallory"}, 404),
        ({"api": "unknown"}, 404),
        ({"environment": "space"}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"allowed_cidrs": ["here"]}, 400),
        ({"limit_per_minute": -1}, 400),
        ({"scopes": ["with space"]}, 400),
        ({"scopes": "read"}, 400),
        ({"metadata": []}, 400),
    ],
)
def test_bad_wish_for_a_key_issues_none(api, alice, mallory, body, status):
    assert issue_for_alice(api, **body).status_code == status
    assert alice.keys.count() == 0


def test_keys_of_an_unknown_user_are_an_empty_list(api, mallory):
    for user_id in ("nobody", "mallory", mallory.public_id, ""):
        assert api.get(KEYS, {"user_id": user_id}).json() == {
            "data": [],
            "next_cursor": None,
            "has_more": False,
        }


def test_pages_follow_each_other_without_gap(api, alice):
    issued = [issue_for_alice(api).json()["id"] for _ in range(5)]

    first = api.get(KEYS, {"user_id": "alice", "limit": 3}).json()
    second = api.get(KEYS, {"user_id": "alice", "limit": 3, "cursor": first["next_cursor"]}).json()

    assert [key["id"] for key in first["data"] + second["data"]] == issued[::-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": "²"}, {"cursor": "key_x"}]
)
def test_bad_page_is_400(api, alice, query):
    assert told(api.get(KEYS, {"user_id": "alice", **query})) == (400, "invalid_input")


def test_revoked_key_is_unknown_to_the_next_request(api, alice, anonymous):
    issued = issue_for_alice(api).json()

    answer = api.post(f"{KEYS}/{issued['id']}/revoke", {"reason": "leaked"}, format="json")

    assert answer.status_code == 200
    assert answer.json()["revoked_at"] is not None
    assert anonymous.get("/whoami", HTTP_X_API_KEY=issued["key"]).status_code == 401


def test_key_of_another_project_cannot_be_revoked(api, orbit, mallory):
    key = issue_key(project=orbit, owner=mallory, actor="system", at=NOON).key

    assert told(api.post(f"{KEYS}/{key.public_id}/revoke")) == (404, "not_found")
    key.refresh_from_db()
    assert key.revoked_at is None


def test_apps_own_key_is_not_managed_here(api):
    app_key = ApiKey.objects.get()
    assert told(api.post(f"{KEYS}/{app_key.public_id}/revoke")) == (404, "not_found")


def test_same_idempotency_key_gets_the_same_bytes(api, alice):
    one, two = [
        api.post(KEYS, {"user_id": "alice"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
        for _ in range(2)
    ]

    assert one.content == two.content
    assert (one.status_code, two.status_code) == (201, 201)
    assert (one.get("Idempotent-Replayed"), two["Idempotent-Replayed"]) == (None, "true")
    assert alice.keys.count() == 1


def test_same_idempotency_key_for_another_body_is_422(api, alice):
    api.post(KEYS, {"user_id": "alice"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    other = api.post(
        KEYS, {"user_id": "alice", "name": "b"}, format="json", HTTP_IDEMPOTENCY_KEY="k1"
    )

    assert told(other) == (422, "idempotency_mismatch")
    assert alice.keys.count() == 1


def test_refusal_is_not_kept_under_the_idempotency_key(api, journal):
    wish = {"path": KEYS, "data": {"user_id": "dave"}, "format": "json"}
    assert api.post(**wish, HTTP_IDEMPOTENCY_KEY="k1").status_code == 404
    journal.consumers.create(external_id="dave")

    assert api.post(**wish, HTTP_IDEMPOTENCY_KEY="k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9"])
def test_bad_idempotency_key_is_400(api, alice, key):
    answer = api.post(KEYS, {"user_id": "alice"}, format="json", HTTP_IDEMPOTENCY_KEY=key)

    assert answer.status_code == 400
    assert alice.keys.count() == 0


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_with_one_idempotency_key_issue_one_key(api, alice):
    def call():
        client = APIClient()
        client.credentials(**api._credentials)
        answer = client.post(KEYS, {"user_id": "alice"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
        return answer.status_code

    statuses = at_once(call)

    assert alice.keys.count() == 1
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
