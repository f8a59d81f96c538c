from datetime import timedelta

import pytest

from config.errors import Conflict, InvalidInput, NotFound
from keystore.errors import KeyNotPaidFor
from keystore.handover import claim_key, wipe_old_claims
from keystore.models import ApiKey, AuditEntry, Consumer, DisabledBecause, KeyClaim
from keystore.selectors import find_key, key_for_slot
from keystore.services import (
    disable_key,
    enable_key,
    import_key,
    issue_key,
    provision_key,
    register_consumer,
    retire_key,
    revoke_key,
    suspend_key,
)
from tests.conftest import NOON
from tests.together import at_once

SLOT = "sub_1:default"
LATER = NOON + timedelta(hours=1)


def provision(consumer, **changes):
    values = {
        "slot": SLOT,
        "environment": "live",
        "limit_per_minute": 60,
        "expires_at": None,
        "metadata": {"plan": "pro"},
        "at": NOON,
    }
    return provision_key(consumer=consumer, **{**values, **changes})


def acts():
    return list(AuditEntry.objects.order_by("pk").values_list("act", flat=True))


def test_our_own_id_finds_its_consumer_and_makes_none(journal, alice, mallory):
    assert register_consumer(project=journal, external_id=alice.public_id) == alice
    with pytest.raises(NotFound):
        register_consumer(project=journal, external_id=mallory.public_id)
    assert journal.consumers.count() == 1


def test_registering_twice_finds_the_first_and_fills_in_what_was_missing(journal):
    first = register_consumer(project=journal, external_id="carol")
    second = register_consumer(project=journal, external_id="carol", email="carol@example.com")
    third = register_consumer(project=journal, external_id="carol", email="other@example.com")

    assert first == second == third
    assert Consumer.objects.get().email == third.email == "carol@example.com"


def test_same_external_id_in_two_projects_is_two_consumers(journal, orbit):
    one = register_consumer(project=journal, external_id="carol")

    assert register_consumer(project=orbit, external_id="carol") != one


def test_issued_key_works_and_is_audited_without_its_text(journal, alice):
    issued = issue_key(
        project=journal, owner=alice, scopes=["read"], actor="staff:sam", reason="new", at=NOON
    )

    assert find_key(issued.plaintext) == issued.key
    entry = AuditEntry.objects.get()
    assert (entry.act, entry.actor, entry.consumer_id) == (
        "key.issue",
        "staff:sam",
        alice.public_id,
    )
    assert issued.plaintext not in str(vars(entry))


def test_key_for_somebody_elses_consumer_is_refused(journal, mallory):
    with pytest.raises(InvalidInput):
        issue_key(project=journal, owner=mallory, actor="system", at=NOON)
    assert ApiKey.objects.count() == 0


def test_networks_are_kept_in_one_spelling(journal, alice):
    issued = issue_key(
        project=journal, owner=alice, allowed_cidrs=["10.0.0.7/8", "::1"], actor="system", at=NOON
    )
    assert issued.key.allowed_cidrs == ["10.0.0.0/8", "::1/128"]


def test_network_that_is_none_is_refused(journal, alice):
    with pytest.raises(InvalidInput):
        issue_key(project=journal, owner=alice, allowed_cidrs=["10.0.0.0/40"], actor="x", at=NOON)


def test_import_is_idempotent_for_the_same_owner_and_refused_for_another(journal, alice, bob):
    wish = {"project": journal, "plaintext": "sk_demo_space_journal", "actor": "system", "at": NOON}
    first = import_key(owner=alice, **wish)

    assert import_key(owner=alice, **wish) == first
    with pytest.raises(Conflict):
        import_key(owner=bob, **wish)
    assert ApiKey.objects.count() == 1


def test_provisioning_again_brings_the_terms_up_to_date(alice):
    first = provision(alice)

    second = provision(alice, limit_per_minute=600, expires_at=LATER, metadata={"plan": "team"})

    assert second == first == ApiKey.objects.get()
    assert (second.limit_per_minute, second.expires_at) == (600, LATER)
    assert ApiKey.objects.get().metadata == {"plan": "team"}


def test_provisioning_the_same_again_writes_nothing(alice):
    provision(alice)
    provision(alice)

    assert acts() == ["key.provision"]


def test_key_provisioned_for_a_period_that_is_over_is_expired(alice):
    key = provision(alice, expires_at=NOON - timedelta(days=1))
    assert not key.is_usable(NOON + timedelta(seconds=1))


def test_payment_lifts_what_the_missing_payment_suspended(journal, alice):
    provision(alice)

    assert suspend_key(project=journal, slot=SLOT, at=LATER) is True
    assert suspend_key(project=journal, slot=SLOT, at=LATER) is False
    assert ApiKey.objects.get().disabled_because == DisabledBecause.PAYMENT

    assert provision(alice, at=LATER).is_usable(LATER)
    assert ApiKey.objects.get().disabled_at is None


def test_what_staff_switched_off_no_payment_switches_on(journal, alice):
    key = provision(alice)
    suspend_key(project=journal, slot=SLOT, at=NOON)
    assert disable_key(key=key, actor="staff:sam", reason="abuse", at=NOON) is True

    assert not provision(alice).is_usable(LATER)
    assert suspend_key(project=journal, slot=SLOT, at=NOON) is False
    assert ApiKey.objects.get().disabled_because == DisabledBecause.STAFF

    assert enable_key(key=key, actor="staff:sam", reason="cleared", at=LATER) is True
    assert not ApiKey.objects.get().is_usable(LATER)  # still not paid for
    assert provision(alice, at=LATER).is_usable(LATER)


def test_staff_do_not_switch_on_what_is_not_paid_for(journal, alice):
    key = provision(alice)
    suspend_key(project=journal, slot=SLOT, at=NOON)

    with pytest.raises(KeyNotPaidFor, match="when the payment is made good"):
        enable_key(key=key, actor="staff:sam", reason="asked", at=LATER)
    assert not ApiKey.objects.get().is_usable(LATER)


def test_revoked_key_of_a_slot_is_not_replaced(journal, alice):
    key = provision(alice)
    assert revoke_key(key=key, actor="staff:sam", reason="leaked", at=NOON) is True
    assert revoke_key(key=key, actor="staff:sam", reason="leaked", at=LATER) is False

    assert provision(alice, limit_per_minute=1).revoked_at == NOON
    assert ApiKey.objects.get().limit_per_minute == 60
    assert key_for_slot(project=journal, slot=SLOT) == key


def test_retiring_a_slot_ends_its_key_and_wipes_the_claim(journal, alice):
    provision(alice)

    assert retire_key(project=journal, slot=SLOT, reason="ended", at=LATER) is True
    assert retire_key(project=journal, slot=SLOT, reason="ended", at=LATER) is False
    assert ApiKey.objects.get().revoked_at == LATER
    assert bytes(KeyClaim.objects.get().sealed) == b""


def test_slot_of_another_consumer_is_refused(alice, bob):
    provision(alice)
    with pytest.raises(Conflict):
        provision(bob)


def test_claimed_key_works_and_is_handed_over_once(alice):
    key = provision(alice)

    assert find_key(claim_key(key=key, at=LATER)) == key
    assert claim_key(key=key, at=LATER) is None
    assert bytes(KeyClaim.objects.get().sealed) == b""


def test_claim_ends_after_seven_days_and_is_wiped(alice):
    key = provision(alice)
    end = NOON + timedelta(days=7)

    assert wipe_old_claims(at=end - timedelta(seconds=1)) == 0
    assert claim_key(key=key, at=end) is None
    assert wipe_old_claims(at=end) == 1
    assert wipe_old_claims(at=end) == 0
    assert bytes(KeyClaim.objects.get().sealed) == b""


def test_revoked_key_cannot_be_claimed(alice):
    key = provision(alice)
    revoke_key(key=key, actor="staff:sam", reason="", at=NOON)

    assert claim_key(key=key, at=LATER) is None


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_provision_one_key(alice):
    keys = at_once(lambda: provision(alice).pk)

    assert len(keys) == 8
    assert set(keys) == {ApiKey.objects.get().pk}
    assert KeyClaim.objects.count() == 1
    assert acts() == ["key.provision"]


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_register_one_consumer(journal):
    found = at_once(lambda: register_consumer(project=journal, external_id="carol").pk)

    assert set(found) == {Consumer.objects.get().pk}
    assert acts() == ["consumer.register"]


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_are_handed_the_key_once(alice):
    key = provision(alice)

    texts = at_once(lambda: claim_key(key=key, at=LATER))

    assert len([text for text in texts if text is not None]) == 1


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_revoke_it_once(alice):
    key = provision(alice)

    changed = at_once(lambda: revoke_key(key=key, actor="staff:sam", reason="", at=LATER))

    assert sorted(changed) == [False] * 7 + [True]
    assert acts() == ["key.provision", "key.revoke"]
