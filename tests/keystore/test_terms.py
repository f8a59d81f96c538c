"""What a key opens is changed while it is in use; a cut-off is held or moved forward."""

from datetime import timedelta

import pytest

from config.errors import InvalidInput
from keystore.errors import KeyFollowsPurchase, KeyNotReplaced, KeyRevoked
from keystore.models import ApiKey, AuditEntry
from keystore.rotation import move_cutoff, rotate_key
from keystore.services import issue_key, provision_key, revoke_key
from keystore.terms import edit_key
from tests.conftest import NOON

DAY = timedelta(days=1)
LATER = NOON + timedelta(hours=1)
BY = {"actor": "staff:sam", "reason": "their office moved"}


@pytest.fixture
def key(journal, alice):
    terms = {"name": "laptop", "scopes": ["read"], "expires_at": NOON + 30 * DAY}
    return issue_key(project=journal, owner=alice, actor="system", at=NOON, **terms).key


def fresh(key):
    return ApiKey.objects.get(pk=key.pk)


def rotated(key, overlap=DAY):
    rotate_key(key=key, overlap=overlap, at=NOON, **BY)
    return fresh(key)


def test_change_is_made_and_audited(key):
    assert edit_key(key=key, wanted={"allowed_cidrs": ["10.0.0.1/8"]}, at=LATER, **BY)

    assert fresh(key).allowed_cidrs == ["10.0.0.0/8"]
    entry = AuditEntry.objects.get(act="key.edit")
    assert (entry.before, entry.after) == ({"allowed_cidrs": []}, {"allowed_cidrs": ["10.0.0.0/8"]})


def test_same_again_changes_nothing(key):
    assert not edit_key(key=key, wanted={"name": "laptop"}, at=LATER, **BY)
    assert not AuditEntry.objects.filter(act="key.edit").exists()


@pytest.mark.parametrize(
    "wanted",
    [
        {"expires_at": NOON},
        {"allowed_cidrs": ["here"]},
        {"named_limits": {"day": {"limit": "x"}}},
        {"named_limits": {"minute": {"limit": 1, "window_seconds": 60}}},
        {"digest": "a"},
        {"revoked_at": None},
    ],
)
def test_nonsense_changes_nothing(key, wanted):
    with pytest.raises(InvalidInput):
        edit_key(key=key, wanted=wanted, at=LATER, **BY)
    assert not AuditEntry.objects.filter(act="key.edit").exists()


def test_revoked_key_stays_as_it_was(key):
    revoke_key(key=key, at=NOON, **BY)
    with pytest.raises(KeyRevoked):
        edit_key(key=key, wanted={"name": "x"}, at=LATER, **BY)


def test_end_of_what_was_bought_follows_the_purchase(alice):
    bought = {"limit_per_minute": None, "expires_at": None, "metadata": {}, "at": NOON}
    key = provision_key(consumer=alice, slot="sub_1:default", environment="live", **bought)

    with pytest.raises(KeyFollowsPurchase):
        edit_key(key=key, wanted={"expires_at": LATER + DAY}, at=LATER, **BY)
    assert edit_key(key=key, wanted={"scopes": ["read"]}, at=LATER, **BY)


def test_cutoff_is_held(key):
    old = rotated(key)

    assert move_cutoff(key=old, overlap=7 * DAY, at=LATER, **BY) == LATER + 7 * DAY
    assert fresh(key).is_usable(LATER + 7 * DAY - timedelta(seconds=1))
    assert AuditEntry.objects.get(act="key.move_cutoff").reason == BY["reason"]


def test_old_key_is_cut_off_at_once(key):
    move_cutoff(key=rotated(key), overlap=timedelta(0), at=LATER, **BY)
    assert not fresh(key).is_usable(LATER)


def test_cutoff_is_never_after_the_end_of_the_successor(key):
    old = rotated(key)
    at = NOON + timedelta(hours=23)
    assert move_cutoff(key=old, overlap=30 * DAY, at=at, **BY) == NOON + 30 * DAY


def test_cutoff_of_what_was_not_replaced_or_is_over_is_refused(key):
    with pytest.raises(KeyNotReplaced):
        move_cutoff(key=key, overlap=DAY, at=LATER, **BY)
    old = rotated(key, overlap=timedelta(minutes=1))
    with pytest.raises(KeyRevoked):
        move_cutoff(key=old, overlap=DAY, at=LATER, **BY)


def test_key_tells_whether_it_is_still_in_use(api, key):
    old = rotated(key)
    path = f"/api/v1/keys/{key.public_id}"
    before = api.get(path).json()
    ApiKey.objects.filter(pk=old.pk).update(last_used_at=LATER)
    after = api.get(path).json()

    assert (before["used_since_replaced"], after["used_since_replaced"]) == (False, True)
    assert before["replaced_by"] == ApiKey.objects.latest("pk").public_id


def test_app_edits_a_key(api, key):
    path = f"/api/v1/keys/{key.public_id}"
    day = {"limit": 5, "window_seconds": 86_400}
    wish = {"limit_per_minute": 10, "named_limits": {"day": day}, "reason": "asked for it"}

    answer = api.patch(path, wish, format="json")

    assert answer.status_code == 200
    assert (answer.json()["limit_per_minute"], answer.json()["named_limits"]) == (10, {"day": day})
    assert fresh(key).name == "laptop"
    assert AuditEntry.objects.get(act="key.edit").reason == "asked for it"


@pytest.mark.parametrize("body", [{"expires_at": "soon"}, {"burst": 0}, {"scopes": "read"}])
def test_bad_edit_is_400(api, key, body):
    assert api.patch(f"/api/v1/keys/{key.public_id}", body, format="json").status_code == 400


def test_key_of_another_project_is_404(api, orbit, mallory):
    other = issue_key(project=orbit, owner=mallory, actor="system", at=NOON).key
    path = f"/api/v1/keys/{other.public_id}"

    assert api.get(path).status_code == 404
    assert api.patch(path, {"name": "x"}, format="json").status_code == 404
    assert api.post(f"{path}/overlap", {"overlap_seconds": 0}, format="json").status_code == 404


def test_app_moves_a_cutoff(api, journal, alice):
    from config.clock import now

    at = now()
    key = issue_key(project=journal, owner=alice, actor="system", at=at).key
    rotate_key(key=key, overlap=DAY, at=at, **BY)

    path = f"/api/v1/keys/{key.public_id}/overlap"
    answers = [api.post(path, {"overlap_seconds": wish}, format="json") for wish in (99, 0, 5)]

    assert [answer.status_code for answer in answers] == [200, 200, 409]
