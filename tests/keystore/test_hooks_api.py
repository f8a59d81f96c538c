"""Hook endpoints and deliveries over the API, within the caller's own project."""

import pytest
from rest_framework.test import APIClient

from keystore import hooks
from keystore.models import AuditEntry, HookDelivery, HookEndpoint
from keystore.outbox import tell
from keystore.seal import unseal
from keystore.services import issue_key
from tests.conftest import NOON

ENDPOINTS = "/api/v1/hook-endpoints"
DELIVERIES = "/api/v1/hook-deliveries"
URL = "https://receiver.example/hooks"


@pytest.fixture
def endpoint(journal):
    made = hooks.make_endpoint(project=journal, url=URL, actor="staff:sam", at=NOON)
    return made.endpoint


@pytest.fixture
def delivery(endpoint):
    tell(project=endpoint.project, kind="key.created", data={"id": "key_1"}, at=NOON)
    return HookDelivery.objects.get()


def client_with(project, app, *scopes):
    issued = issue_key(project=project, owner=app, scopes=scopes, actor="system", at=NOON)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=issued.plaintext)
    return client


@pytest.fixture
def stranger(orbit):
    """A program of another project, which may do everything there."""
    return client_with(orbit, orbit.apps.create(name="backend"), "*")


def told(answer):
    return answer.status_code, answer.json().get("code")


def test_endpoint_is_made_and_its_secret_told_once(api):
    answer = api.post(ENDPOINTS, {"url": URL, "kinds": ["key.created"]}, format="json")

    made = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert unseal(HookEndpoint.objects.get().sealed_secret) == made["secret"]
    (listed,) = api.get(ENDPOINTS).json()["data"]
    assert (listed["id"], listed["kinds"], listed["enabled"]) == (made["id"], ["key.created"], True)
    assert "secret" not in listed
    assert AuditEntry.objects.get(act="hook.make").actor.startswith("app:")


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"url": "https://10.0.0.1/"}, (400, "unusable_hook_url")),
        ({"url": "https://receiver.example/\u0000"}, (400, "invalid_json")),
        ({"url": 7}, (400, "unusable_hook_url")),
        ({}, (400, "invalid_input")),
        ({"url": URL, "kinds": ["key.lost"]}, (400, "invalid_input")),
        ({"url": URL, "kinds": "key.created"}, (400, "invalid_input")),
        ({"url": URL, "description": "a\nb"}, (400, "invalid_input")),
    ],
)
def test_bad_wish_is_refused_with_a_problem(api, wish, expected):
    answer = api.post(ENDPOINTS, wish, format="json")

    assert told(answer) == expected
    assert answer["Content-Type"] == "application/problem+json"
    assert HookEndpoint.objects.count() == 0


def test_same_url_again_is_a_conflict_and_the_same_request_is_not(api):
    wish = {"url": URL}
    first = api.post(ENDPOINTS, wish, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    again = api.post(ENDPOINTS, wish, format="json", HTTP_IDEMPOTENCY_KEY="k1")

    assert first.json() == again.json()
    assert told(api.post(ENDPOINTS, wish, format="json")) == (409, "conflict")


def test_what_is_not_named_stays(api, endpoint):
    one = f"{ENDPOINTS}/{endpoint.public_id}"

    answer = api.patch(one, {"kinds": ["refund.created"]}, format="json")

    assert answer.json()["url"] == URL
    assert answer.json()["kinds"] == ["refund.created"]
    assert api.patch(one, {"enabled": False, "reason": "moves"}, format="json").json()[
        "disabled_because"
    ] == ("moves")
    assert api.patch(one, {"enabled": True}, format="json").json()["enabled"] is True


def test_secret_is_rolled_test_sent_and_endpoint_removed(api, endpoint):
    one = f"{ENDPOINTS}/{endpoint.public_id}"

    rolled = api.post(f"{one}/roll-secret", {}, format="json")
    again = api.post(f"{one}/roll-secret", {}, format="json")
    sent = api.post(f"{one}/test", {}, format="json")

    assert rolled.json()["secret"].startswith("whsec_")
    assert told(again) == (409, "hook_secret_still_rolling")
    assert (sent.status_code, sent.json()["type"], sent.json()["state"]) == (202, "test", "pending")
    assert api.delete(one).status_code == 204
    assert told(api.delete(one)) == (404, "not_found")


def test_deliveries_are_listed_and_sent_again(api, endpoint, delivery):
    HookDelivery.objects.update(state="failed", attempts=10, last_status=500)

    (listed,) = api.get(DELIVERIES, {"endpoint_id": endpoint.public_id, "state": "failed"}).json()[
        "data"
    ]
    again = api.post(f"{DELIVERIES}/{delivery.public_id}/redeliver", {}, format="json")

    assert (listed["message_id"], listed["last_status"]) == (delivery.message.public_id, 500)
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (
        202,
        "pending",
        0,
    )
    assert api.get(DELIVERIES, {"state": "failed"}).json()["data"] == []
    assert told(api.get(DELIVERIES, {"state": "lost"})) == (400, "invalid_input")


def test_nothing_is_sent_again_to_an_endpoint_that_is_off(api, endpoint, delivery):
    hooks.disable_endpoint(endpoint=endpoint, actor="staff:sam", reason="", at=NOON)

    answer = api.post(f"{DELIVERIES}/{delivery.public_id}/redeliver", {}, format="json")

    assert told(answer) == (409, "hook_endpoint_disabled")


def test_message_is_fetched_by_whoever_was_told_of_it(api, delivery):
    answer = api.get(f"/api/v1/hook-messages/{delivery.message.public_id}").json()

    assert (answer["type"], answer["data"]) == ("key.created", {"id": "key_1"})


def test_other_project_sees_and_changes_nothing(stranger, endpoint, delivery):
    one = f"{ENDPOINTS}/{endpoint.public_id}"
    answers = [
        stranger.patch(one, {"enabled": False}, format="json"),
        stranger.delete(one),
        stranger.post(f"{one}/roll-secret", {}, format="json"),
        stranger.post(f"{one}/test", {}, format="json"),
        stranger.get(DELIVERIES, {"endpoint_id": endpoint.public_id}),
        stranger.post(f"{DELIVERIES}/{delivery.public_id}/redeliver", {}, format="json"),
        stranger.get(f"/api/v1/hook-messages/{delivery.message.public_id}"),
    ]

    assert [told(answer) for answer in answers] == [(404, "not_found")] * len(answers)
    assert stranger.get(ENDPOINTS).json()["data"] == []
    assert stranger.get(DELIVERIES).json()["data"] == []


def test_reading_and_writing_are_different_rights(journal, backend, endpoint, delivery):
    reader = client_with(journal, backend, "hooks:read")
    writer = client_with(journal, backend, "hooks:write")
    one = f"{ENDPOINTS}/{endpoint.public_id}"

    assert reader.get(ENDPOINTS).status_code == 200
    assert told(reader.post(f"{one}/test", {}, format="json")) == (403, "insufficient_scope")
    assert told(reader.delete(one)) == (403, "insufficient_scope")
    assert told(writer.get(DELIVERIES)) == (403, "insufficient_scope")
    assert writer.post(f"{one}/test", {}, format="json").status_code == 202


def test_nobody_calls_without_a_key(db):
    assert told(APIClient().get(ENDPOINTS)) == (401, "missing_api_key")
