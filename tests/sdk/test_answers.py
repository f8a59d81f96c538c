"""What the client answers from the service, from memory, and by policy."""

import asyncio

import pytest
from latchkey_client import (
    FAIL_OPEN,
    AsyncLatchkey,
    FailPolicy,
    Latchkey,
    Unauthorized,
    Unreachable,
)
from latchkey_client.policy import Retries

from keystore.services import issue_key, revoke_key
from tests.conftest import NOON

ONCE = Retries(tries=1)


@pytest.fixture
def hands():
    """The client's clock, in seconds."""
    return [0.0]


@pytest.fixture
def make(wire, app_key, hands):
    """Clients on the breakable wire."""
    made = []

    def make_one(**options):
        options = {"retries": ONCE, **options}
        made.append(Latchkey(wire.url, app_key, clock=lambda: hands[0], **options))
        return made[-1]

    yield make_one
    for client in made:
        client.close()


def test_feature_is_open_once_it_was_given(make, alice, give):
    client = make()
    assert not client.has_feature("alice", "labs")
    give(alice, "labs")
    assert client.has_feature("alice", "labs")
    assert client.entitlements("alice").features["labs"].source == "staff"


def test_fresh_answer_is_not_asked_for_again(make, alice, wire, hands):
    client = make(cache_seconds=10)
    client.entitlements("alice")
    hands[0] = 9.9
    client.entitlements("alice")
    assert len(wire.asked) == 1
    hands[0] = 10
    client.entitlements("alice")
    assert len(wire.asked) == 2


def test_unchanged_answer_is_confirmed_without_a_body(make, alice, give, wire):
    give(alice, "labs")
    client = make()
    assert client.entitlements("alice") is client.entitlements("alice")
    give(alice, "pro")
    assert sorted(client.entitlements("alice").features) == ["labs", "pro"]


def test_forgotten_user_is_asked_about_anew(make, alice, give):
    client = make(cache_seconds=3600)
    assert not client.has_feature("alice", "labs")
    give(alice, "labs")
    assert not client.has_feature("alice", "labs")
    client.forget("alice")
    assert client.has_feature("alice", "labs")


def test_last_answer_stands_in_while_the_service_is_gone(make, alice, give, wire, hands):
    give(alice, "labs")
    client = make(stale_seconds=60)
    client.entitlements("alice")
    wire.plan = ["refuse", "503", "refuse"]
    assert client.entitlements("alice").stale
    assert client.has_feature("alice", "labs")
    hands[0] = 60
    with pytest.raises(Unreachable):
        client.entitlements("alice")


def test_policy_decides_per_feature_what_nobody_knows(make, wire):
    client = make(fail_policy=FailPolicy(features={"labs": FAIL_OPEN}))
    wire.plan = ["refuse"] * 4
    assert client.has_feature("alice", "labs")
    assert not client.has_feature("alice", "pro")
    check = client.check("alice", "labs", quantity=5)
    assert (check.allowed, check.fallback) == (True, True)
    assert not client.check("alice", "pro").allowed


def test_policy_must_be_one():
    with pytest.raises(ValueError, match="no policy"):
        FailPolicy(default="maybe")


def test_lost_answer_is_asked_for_again(make, alice, wire):
    client = make(retries=Retries(tries=3, first_seconds=0))
    wire.plan = ["drop", "503"]
    assert client.entitlements("alice").user_id == "alice"
    assert len(wire.asked) == 3


def test_refusal_is_not_tried_again(wire, live_server):
    with Latchkey(wire.url, "lk_test_wrong") as client, pytest.raises(Unauthorized) as refused:
        client.entitlements("alice")
    assert refused.value.code == "invalid_api_key"
    assert len(wire.asked) == 1


def test_revoked_key_is_told_at_once(make, journal, alice):
    issued = issue_key(project=journal, owner=alice, actor="system", at=NOON)
    client = make(cache_seconds=3600)
    found = client.verify(issued.plaintext)
    assert (found.valid, found.code, found.user_id) == (True, "VALID", "alice")
    revoke_key(key=issued.key, actor="system", reason="a test", at=NOON)
    assert client.verify(issued.plaintext).code == "REVOKED"


def test_asyncio_client_answers_the_same(wire, app_key, alice, give):
    give(alice, "labs")

    async def ask():
        async with AsyncLatchkey(wire.url, app_key, retries=ONCE) as client:
            known = await client.entitlements("alice")
            again = await client.entitlements("alice")
            wire.plan = ["refuse"] * 2
            stale = await client.entitlements("alice")
            check = await client.check("bob", "labs", quantity=1)
            return known is again, stale.stale, await client.has_feature("alice", "labs"), check

    assert asyncio.run(ask())[:3] == (True, True, True)
