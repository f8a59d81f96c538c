"""A key is replaced without a gap, and never has two successors."""

from datetime import timedelta

import pytest
from django.test import Client

from config.errors import Conflict, InvalidInput
from keystore.errors import KeyReplaced, KeyRevoked
from keystore.handover import claim_link
from keystore.models import ApiKey, AuditEntry, HookEndpoint, KeyClaim, OutboxMessage
from keystore.rotation import rotate_key
from keystore.selectors import find_key
from keystore.services import (
    disable_key,
    enable_key,
    issue_key,
    provision_key,
    retire_key,
    revoke_key,
    suspend_key,
)
from tests.conftest import NOON
from tests.together import at_once

SLOT = "sub_1:default"
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def key(alice):
    """The key that came with what alice bought."""
    return provision(alice)


def provision(consumer, at=NOON, **changes):
    terms = {"limit_per_minute": 60, "expires_at": None, "metadata": {"plan": "pro"}}
    return provision_key(
        consumer=consumer, slot=SLOT, environment="live", at=at, **{**terms, **changes}
    )


def rotate(key, overlap=DAY, at=NOON + HOUR, **more):
    return rotate_key(key=key, overlap=overlap, actor="staff:sam", reason="leak", at=at, **more)


def fresh(key):
    return ApiKey.objects.get(pk=key.pk)


def test_the_successor_takes_over_place_limits_and_scopes(journal, alice):
    old = issue_key(
        project=journal,
        owner=alice,
        name="laptop",
        scopes=["read"],
        own_limit_per_minute=5,
        allowed_cidrs=["10.0.0.0/8"],
        metadata={"team": "x"},
        actor="system",
        at=NOON,
    ).key

    new = rotate(old).key

    for name in ("name", "scopes", "own_limit_per_minute", "allowed_cidrs", "metadata"):
        assert getattr(new, name) == getattr(old, name)
    assert (new.replaces, new.consumer) == (old, alice)


def test_both_work_until_the_overlap_ends(key):
    issued = rotate(key)

    assert find_key(issued.plaintext).is_usable(NOON + 30 * DAY)
    assert fresh(key).is_usable(NOON + HOUR + DAY - timedelta(seconds=1))
    assert not fresh(key).is_usable(NOON + HOUR + DAY)


def test_without_overlap_the_old_one_ends_at_once(key):
    rotate(key, overlap=timedelta(0))

    assert not fresh(key).is_usable(NOON + HOUR)


def test_the_old_one_never_lives_longer_than_it_would_have(alice):
    key = provision(alice, expires_at=NOON + 2 * HOUR)

    assert rotate(key).key.expires_at == NOON + 2 * HOUR
    assert fresh(key).expires_at == NOON + 2 * HOUR


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31)])
def test_an_overlap_that_makes_no_sense_changes_nothing(key, overlap):
    with pytest.raises(InvalidInput, match="0 to 30 days"):
        rotate(key, overlap)
    assert ApiKey.objects.count() == 1


def test_a_key_is_replaced_once(key):
    new = rotate(key).key

    with pytest.raises(KeyReplaced):
        rotate(key)
    assert rotate(new, at=NOON + 2 * HOUR).key.replaces == new


def test_once_its_successor_is_revoked_it_may_have_another(key):
    leaked = rotate(key).key
    revoke_key(key=leaked, actor="staff:sam", reason="leaked, too", at=NOON + HOUR)

    assert rotate(key, at=NOON + 2 * HOUR).key.provisioned_for == SLOT


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_what_has_ended_has_no_successor(alice, key, end):
    if end == "revoked":
        revoke_key(key=key, actor="system", reason="", at=NOON)
    else:
        provision(alice, expires_at=NOON + timedelta(minutes=1))

    with pytest.raises(KeyRevoked, match=end):
        rotate(key)


def test_renewal_prolongs_the_successor_and_not_the_old_one(alice, key):
    new = rotate(key).key

    provision(alice, expires_at=NOON + 40 * DAY, limit_per_minute=600)

    assert fresh(new).expires_at == NOON + 40 * DAY
    assert fresh(key).expires_at == NOON + HOUR + DAY
    assert fresh(key).limit_per_minute == fresh(new).limit_per_minute == 600


def test_what_is_not_paid_for_switches_both_off_and_on_again(journal, alice, key):
    new = rotate(key).key

    suspend_key(project=journal, slot=SLOT, at=NOON + 2 * HOUR)
    assert [fresh(one).is_usable(NOON + 2 * HOUR) for one in (key, new)] == [False, False]
    provision(alice, at=NOON + 3 * HOUR)
    assert [fresh(one).is_usable(NOON + 3 * HOUR) for one in (key, new)] == [True, True]


def test_the_end_of_the_sale_revokes_both(journal, key):
    new = rotate(key).key

    retire_key(project=journal, slot=SLOT, reason="canceled", at=NOON + 2 * HOUR)

    assert fresh(key).revoked_at == fresh(new).revoked_at == NOON + 2 * HOUR


def test_rotation_does_not_switch_on_what_is_off(journal, key):
    suspend_key(project=journal, slot=SLOT, at=NOON)

    new = rotate(fresh(key)).key

    assert not new.is_usable(NOON + HOUR)


def test_staff_switch_on_what_is_still_unpaid_and_it_stays_off(journal, alice, key):
    suspend_key(project=journal, slot=SLOT, at=NOON)
    disable_key(key=key, actor="staff:sam", reason="abuse", at=NOON)

    enable_key(key=key, actor="staff:sam", reason="cleared", at=NOON + HOUR)

    assert not fresh(key).is_usable(NOON + HOUR)
    assert provision(alice, at=NOON + 2 * HOUR).is_usable(NOON + 2 * HOUR)


def test_enabling_a_revoked_key_says_what_to_do(key):
    revoke_key(key=key, actor="system", reason="", at=NOON)

    with pytest.raises(KeyRevoked, match="issue a new key"):
        enable_key(key=key, actor="staff:sam", reason="", at=NOON)


def test_it_is_audited_without_its_text_and_told_to_hooks(journal, key):
    HookEndpoint.objects.create(
        project=journal, url="https://hooks.example.com", sealed_secret=b"x"
    )

    issued = rotate(key)

    entry = AuditEntry.objects.get(act="key.rotate")
    assert (entry.actor, entry.reason, entry.after["replaces"]) == (
        "staff:sam",
        "leak",
        key.public_id,
    )
    message = OutboxMessage.objects.get(kind="key.rotated")
    assert message.data["key_id"] == issued.key.public_id
    assert issued.plaintext not in f"{vars(entry)}{message.data}"


def test_the_buyer_collects_it_once_by_the_link(key, settings):
    settings.PUBLIC_URL = "http://testserver"
    issued = rotate(key, claimable=True, at=soon())
    link, browser = claim_link(issued.key), Client()

    assert issued.plaintext not in browser.get(link).content.decode()  # opening uses nothing up
    assert issued.plaintext in browser.post(link).content.decode()
    again = browser.post(link).content.decode()
    assert issued.plaintext not in again
    assert "collected before" in again


def soon():
    from config.clock import now

    return now()


def test_a_link_that_was_not_made_here_opens_nothing(db):
    assert Client().post("/keys/collect/con_1:forged").status_code == 404


def test_the_unclaimed_text_of_the_old_key_is_wiped(key):
    rotate(key)

    assert bytes(KeyClaim.objects.get(key=key).sealed) == b""


@pytest.mark.django_db(transaction=True)
def test_eight_who_rotate_and_revoke_at_once_leave_one_live_successor_at_most(key):
    turns = iter(range(8))

    def act():
        turn = next(turns)
        try:
            if turn == 3:
                revoke_key(key=key, actor="staff:eve", reason="race", at=NOON + HOUR)
                return "revoked"
            return rotate(key).key.pk
        except Conflict as refusal:
            return refusal.code

    outcomes = at_once(act)

    live = ApiKey.objects.filter(revoked_at=None, replaced_at=None)
    made = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert [one.pk for one in live] == made
    assert len(made) <= 1
    assert fresh(key).revoked_at is not None


def test_an_app_rotates_switches_off_and_on(api, alice):
    key = issue_key(project=alice.project, owner=alice, actor="system", at=soon()).key
    url = f"/api/v1/keys/{key.public_id}"

    answer = api.post(f"{url}/rotate", {"overlap_seconds": 60}, format="json")

    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert find_key(answer.json()["key"]).public_id == answer.json()["id"]
    assert answer.json()["replaces"] == key.public_id
    assert api.post(f"{url}/rotate").json()["code"] == "key_replaced"
    assert api.post(f"{url}/disable").json()["disabled_because"] == "staff"
    assert api.post(f"{url}/enable").json()["disabled_at"] is None


@pytest.mark.parametrize("act", ["rotate", "disable", "enable"])
def test_another_projects_key_does_not_exist(api, orbit, mallory, act):
    key = issue_key(project=orbit, owner=mallory, actor="system", at=NOON).key

    assert api.post(f"/api/v1/keys/{key.public_id}/{act}").status_code == 404


@pytest.mark.parametrize("overlap", [-1, 2_592_001, "soon"])
def test_a_bad_overlap_is_400(api, alice, overlap):
    key = issue_key(project=alice.project, owner=alice, actor="system", at=NOON).key

    answer = api.post(
        f"/api/v1/keys/{key.public_id}/rotate", {"overlap_seconds": overlap}, format="json"
    )

    assert answer.status_code == 400
    assert fresh(key).replaced_at is None


def test_the_same_rotation_sent_twice_makes_one_successor(api, alice):
    key = issue_key(project=alice.project, owner=alice, actor="system", at=soon()).key
    url = f"/api/v1/keys/{key.public_id}/rotate"

    first = api.post(url, HTTP_IDEMPOTENCY_KEY="once")
    second = api.post(url, HTTP_IDEMPOTENCY_KEY="once")

    assert (second.status_code, second["Idempotent-Replayed"]) == (201, "true")
    assert first.json()["id"] == second.json()["id"]
    assert ApiKey.objects.filter(replaces=key).count() == 1
