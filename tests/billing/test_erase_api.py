"""Personal data is erased by apps for their users, and by users for themselves."""

import pytest

from config.clock import now
from keystore.models import Consumer
from keystore.services import issue_key
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db


def path(name):
    return f"/api/v1/consumers/{name}/erase"


def test_an_app_erases_a_user_and_the_same_again_is_answered(api, journal, alice):
    issue_key(project=journal, owner=alice, actor="system", at=now())
    first = api.post(path("alice"), {"reason": "Ticket 4711"}, format="json")
    again = api.post(path(alice.public_id), format="json")
    alice.refresh_from_db()
    assert first.status_code == again.status_code == 200
    assert first.json() == {
        "id": alice.public_id,
        "user_id": alice.public_id,
        "erased_at": first.json()["erased_at"],
        "keys_revoked": 1,
        "at_stripe": "none",
    }
    assert again.json() == {**first.json(), "keys_revoked": 0}
    assert (alice.email, alice.external_id) == ("", alice.public_id)
    assert api.get("/api/v1/consumers/alice").status_code == 404
    assert api.get(f"/api/v1/consumers/{alice.public_id}").status_code == 404
    assert api.post(path("alice"), format="json").json()["code"] == "consumer_not_found"


def test_another_projects_user_is_nobody(api, mallory):
    assert api.post(path(mallory.public_id), format="json").status_code == 404
    Consumer.objects.filter(pk=mallory.pk).update(erased_at=now())
    assert api.post(path(mallory.public_id), format="json").status_code == 404
    assert api.post(path("a%00b"), format="json").status_code == 400


def test_a_user_erases_nobody_else(journal, alice, bob):
    accept_tokens(journal)
    client = user_client("alice", journal)
    assert client.post(path("bob"), format="json").status_code == 404
    assert client.post(path("alice"), format="json").json()["id"] == alice.public_id
    assert client.post(path("alice"), format="json").status_code == 404
    bob.refresh_from_db()
    assert (bob.erased_at, journal.consumers.filter(external_id="alice").count()) == (None, 0)


def test_it_needs_the_scope(journal, backend, alice):
    from rest_framework.test import APIClient

    issued = issue_key(
        project=journal, owner=backend, scopes=["entitlements:read"], actor="system", at=now()
    )
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=issued.plaintext)
    assert client.post(path("alice"), format="json").json()["code"] == "insufficient_scope"
