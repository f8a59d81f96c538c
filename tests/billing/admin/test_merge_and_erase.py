"""Staff merge and erase consumers on pages that tell what will follow before the click."""

import pytest

from entitlements.services import give_grant
from keystore.models import AuditEntry
from keystore.services import issue_key
from tests.conftest import NOON

pytestmark = pytest.mark.django_db


def page(act, consumer):
    return f"/admin/keystore/consumer/{consumer.pk}/{act}/"


@pytest.fixture
def granted(bob, pro):
    """bob may use pro."""
    return give_grant(
        consumer=bob, plan=pro, valid_from=None, valid_to=None, reason="a present",
        granted_by="staff:sam", idempotency_key="x", actor="staff:sam", at=NOON,
    )  # fmt: skip


def test_the_preview_tells_what_follows_and_changes_nothing(operator, alice, bob, granted):
    sent = {"act": "preview", "survivor": "ALICE@example.com"}
    told = operator.post(page("merge", bob), sent).content.decode()
    assert "grants (1)" in told
    assert 'value="merge"' in told
    assert f'name="shown" value="{alice.public_id}"' in told
    bob.refresh_from_db()
    assert bob.merged_into is None


def test_a_merge_needs_its_preview_and_a_reason(operator, alice, bob):
    sent = {"act": "merge", "survivor": "alice", "reason": "same"}
    for lacking in ({"shown": "con_another"}, {"shown": alice.public_id, "reason": ""}):
        answer = operator.post(page("merge", bob), {**sent, **lacking})
        assert answer.status_code == 200
    bob.refresh_from_db()
    assert bob.merged_into is None


def test_a_double_click_merges_once_and_both_land_on_the_survivor(operator, alice, bob, granted):
    sent = {"act": "merge", "survivor": "alice", "shown": alice.public_id, "reason": "same"}
    first, second = (operator.post(page("merge", bob), sent, follow=True) for _ in range(2))
    assert "is merged into this consumer: grants (1)." in first.content.decode()
    assert "before: nothing changed" in second.content.decode()
    assert AuditEntry.objects.filter(act="consumer.merge", reason="same").count() == 1
    # Whoever opens the duplicate's page is led to the survivor's, which names both.
    shown = operator.get(page("change", bob), follow=True)
    assert shown.redirect_chain == [(page("change", alice), 302)]
    assert "also known as bob" in shown.content.decode()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nobody", "no such consumer"),
        ("mallory", "no such consumer"),
        ("bob", "the same consumer"),
        ("twin@example.com", "Several consumers have this address"),
    ],
)
def test_a_wrong_survivor_is_refused_in_words(operator, journal, bob, mallory, named, said):
    for number in (1, 2):
        journal.consumers.create(external_id=f"twin{number}", email="twin@example.com")
    told = operator.post(page("merge", bob), {"act": "preview", "survivor": named})
    assert said in told.content.decode()
    assert 'value="merge"' not in told.content.decode()


def test_data_is_erased_after_the_id_was_typed(operator, journal, alice):
    issue_key(project=journal, owner=alice, actor="system", at=NOON)
    wrong = {"confirmation": "alice", "reason": "Ticket 1"}
    assert "to confirm" in operator.post(page("erase", alice), wrong).content.decode()
    right = {"confirmation": alice.public_id, "reason": "Ticket 1"}
    told = operator.post(page("erase", alice), right, follow=True).content.decode()
    alice.refresh_from_db()
    assert (alice.email, alice.external_id) == ("", alice.public_id)
    assert "is erased, and 1 key is revoked." in told
    assert "this is nobody now" in told
    again = operator.post(page("erase", alice), right, follow=True).content.decode()
    assert "erased before: nothing changed" in again


def test_what_stands_against_an_erasure_is_shown_instead_of_the_form(operator, journal, alice):
    alice.subscriptions.create(
        project=journal, stripe_subscription_id="sub_1", status="active", currency="usd",
        started_at=NOON, synced_at=NOON,
    )  # fmt: skip
    told = operator.get(page("erase", alice)).content.decode()
    assert "sub_1 (no plan) still runs" in told
    assert "Erase for good" not in told


@pytest.mark.parametrize("act", ["merge", "erase"])
def test_support_does_neither(support, alice, act):
    assert support.get(page(act, alice)).status_code == 403
    assert support.post(page(act, alice), {"act": "merge"}).status_code == 403


def test_acts_on_an_erased_consumer_are_missed(operator, alice):
    right = {"confirmation": alice.public_id, "reason": "Ticket 1"}
    operator.post(page("erase", alice), right)
    assert operator.get(page("give", alice)).status_code == 404
