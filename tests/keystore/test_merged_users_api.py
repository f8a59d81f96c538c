"""Every way of naming a user who was merged leads to the survivor."""

from datetime import timedelta

import pytest

from billing.merging import merge_consumers
from config.clock import now
from keystore.issuers import sign_out
from keystore.models import Consumer
from keystore.services import issue_key
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db


@pytest.fixture
def merged(alice, bob):
    """bob, who is alice."""
    merge_consumers(
        duplicate=bob, survivor=alice, actor="staff:sam", reason="r", clock=lambda: NOON
    )
    return bob


def test_an_app_finds_the_survivor_under_both_names(api, alice, merged):
    for name in ("bob", merged.public_id, "alice"):
        found = api.get(f"/api/v1/consumers/{name}").json()
        assert (found["id"], found["user_id"]) == (alice.public_id, "alice")
    registered = api.post("/api/v1/consumers/register", {"user_id": "bob"}, format="json")
    assert registered.json()["id"] == alice.public_id
    listed = api.get("/api/v1/consumers").json()["data"]
    assert [one["user_id"] for one in listed] == ["alice"]
    answer = api.get("/api/v1/entitlements?user_id=bob").json()
    assert answer["user_id"] == "alice"


def test_keys_of_the_duplicate_are_the_survivors(api, journal, alice, bob):
    issued = issue_key(project=journal, owner=bob, actor="system", at=now())
    merge_consumers(duplicate=bob, survivor=alice, actor="staff:sam", reason="r", clock=now)
    listed = api.get("/api/v1/keys?user_id=bob").json()["data"]
    assert [one["id"] for one in listed] == [issued.key.public_id]
    api.credentials(HTTP_X_API_KEY=issued.plaintext)
    assert api.get("/whoami").json()["consumer"]["user_id"] == "alice"


def test_tokens_of_both_names_open_the_same_and_nothing_else(journal, alice, merged):
    accept_tokens(journal)
    journal.consumers.create(external_id="carol")
    for sub in ("bob", "alice"):
        client = user_client(sub, journal)
        for name in ("bob", "alice", alice.public_id, merged.public_id):
            assert client.get(f"/api/v1/consumers/{name}").json()["id"] == alice.public_id
        assert client.get("/api/v1/consumers/carol").status_code == 404


def test_signing_the_survivor_out_ends_tokens_of_both_names(journal, alice, merged):
    accept_tokens(journal)
    clients = [user_client(sub, journal) for sub in ("bob", "alice")]
    later = now() + timedelta(seconds=5)
    sign_out(consumer=Consumer.objects.get(pk=alice.pk), actor="sam", reason="r", at=later)
    assert [one.get("/api/v1/consumers/alice").status_code for one in clients] == [401, 401]
