"""Users at the API: changed, listed, and registered by many at once."""

import pytest

from keystore.models import AuditEntry, Consumer
from keystore.services import register_consumer
from tests.keystore.tokens_cast import accept_tokens, user_client
from tests.together import at_once

USERS = "/api/v1/consumers"


def patch(client, whom, **body):
    return client.patch(f"{USERS}/{whom}", body, format="json")


def test_app_changes_address_and_name(api, alice):
    shown = patch(api, "alice", email="new@a.example", name="Alice L").json()
    assert (shown["email"], shown["name"]) == ("new@a.example", "Alice L")
    entry = AuditEntry.objects.get(act="consumer.change")
    assert entry.after == {"changed": ["email", "name"]}


def test_what_is_left_out_stays_and_the_same_again_changes_nothing(api, alice):
    assert patch(api, alice.public_id, name="").json()["email"] == alice.email
    patch(api, "alice", email=alice.email)
    assert not AuditEntry.objects.filter(act="consumer.change").exists()


@pytest.mark.parametrize("body", [{"email": "none"}, {"name": "x" * 201}, {"name": "a\x00"}, []])
def test_bad_values_are_refused(api, alice, body):
    answer = api.patch(f"{USERS}/alice", body, format="json")
    assert answer.status_code == 400
    assert Consumer.objects.get().name == ""


def test_nobody_else_is_made_or_changed_by_a_change(api, mallory):
    for whom in ("nobody", "mallory", mallory.public_id):
        assert patch(api, whom, name="x").status_code == 404
    assert Consumer.objects.get().name == ""


def test_user_changes_their_own_name_and_not_the_address(journal, alice, bob):
    accept_tokens(journal)
    mine = user_client("alice", journal)
    assert patch(mine, "alice", name="Alice").json()["name"] == "Alice"
    refusal = patch(mine, "alice", email="x@a.example")
    assert (refusal.status_code, refusal.json()["code"]) == (403, "not_for_users")
    assert patch(mine, "bob", name="x").status_code == 404
    assert AuditEntry.objects.get().actor == f"user:{alice.public_id}"


def test_users_are_listed_a_page_at_a_time_within_the_project(api, alice, bob, mallory):
    first = api.get(f"{USERS}?limit=1").json()
    rest = api.get(f"{USERS}?cursor={first['next_cursor']}").json()
    assert [one["user_id"] for one in first["data"] + rest["data"]] == ["bob", "alice"]
    assert api.get(f"{USERS}?cursor={mallory.public_id}").status_code == 400


def test_users_are_found_by_the_whole_address(api, alice, bob):
    found = api.get(f"{USERS}?email=bob@example.com").json()["data"]
    assert [one["user_id"] for one in found] == ["bob"]
    for text in ("bob", "", "mallory@example.com"):
        assert len(api.get(f"{USERS}?email={text}").json()["data"]) == (0 if text else 2)


def test_users_are_not_listed_for_users(journal, alice):
    accept_tokens(journal)
    assert user_client("alice", journal).get(USERS).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_eight_who_register_one_user_at_once_make_one(journal):
    made = at_once(
        lambda: register_consumer(project=journal, external_id="ada", email="a@b.example")
    )
    assert {one.pk for one in made} == {Consumer.objects.get().pk}
    assert AuditEntry.objects.filter(act="consumer.register").count() == 1
