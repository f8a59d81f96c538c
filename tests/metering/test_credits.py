"""Packs of credits: given once, taken back, run out; the ledger says the same as the pack."""

from datetime import timedelta
from decimal import Decimal

import pytest

from config.errors import IdempotencyConflict, InvalidInput
from keystore.models import AuditEntry
from metering.credits import expire_credits
from metering.models import CreditPack
from metering.quotas import take
from metering.selectors import quota_of
from metering.services import (
    give_credits,
    release_reservation,
    reserve_quota,
    revoke_credits,
)
from tests.conftest import NOON
from tests.metering.quota_cast import give, ledger_of, metered, sell
from tests.together import at_once


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=0))
    return metered(journal)


def pack_of(consumer, meter, amount=5, *, key="one", **terms):
    return give_credits(
        consumer=consumer,
        meter=meter,
        amount=amount,
        reason="bought",
        given_by="test",
        idempotency_key=key,
        actor="app:test",
        at=NOON,
        **terms,
    )


def use(consumer, meter, quantity=1, at=NOON):
    return take(consumer=consumer, meter=meter, quantity=quantity, event_id="", at=at)


def test_credits_open_what_the_plan_gives_none_of(alice, tokens):
    pack = pack_of(alice, tokens)
    assert use(alice, tokens, 3).left.credits == 2
    assert not use(alice, tokens, 3).allowed
    assert ledger_of(pack) == (2, 2)
    entry = AuditEntry.objects.get(act="credits.give")
    assert (entry.reason, entry.object_id) == ("bought", pack.public_id)


def test_same_key_gives_once_and_another_wish_conflicts(alice, tokens):
    assert pack_of(alice, tokens).pk == pack_of(alice, tokens).pk
    with pytest.raises(IdempotencyConflict):
        pack_of(alice, tokens, 6)
    assert CreditPack.objects.get().entries.count() == 1


def test_what_was_taken_back_pays_no_more(alice, tokens):
    pack = pack_of(alice, tokens)
    use(alice, tokens, 2)
    assert revoke_credits(pack=pack, reason="fraud", actor="staff:sam", at=NOON) == 3
    assert revoke_credits(pack=pack, reason="fraud", actor="staff:sam", at=NOON) == 0
    assert not use(alice, tokens).allowed
    assert ledger_of(pack) == (0, 0)
    assert AuditEntry.objects.filter(act="credits.revoke").count() == 1


def test_what_ran_out_pays_no_more_and_is_written_off(alice, tokens):
    ends = NOON + timedelta(days=1)
    pack = pack_of(alice, tokens, expires_at=ends)
    assert not use(alice, tokens, at=ends).allowed
    assert quota_of(consumer=alice, at=ends)[0].left.credits == 0
    assert (expire_credits(at=ends), expire_credits(at=ends)) == (1, 0)
    assert ledger_of(pack) == (0, 0)
    assert [e.kind for e in pack.entries.order_by("pk")] == ["given", "expired"]


def test_what_comes_back_to_a_revoked_pack_is_taken_as_well(alice, tokens):
    pack = pack_of(alice, tokens)
    kept = reserve_quota(consumer=alice, meter=tokens, quantity=4, at=NOON)
    revoke_credits(pack=pack, reason="fraud", actor="staff:sam", at=NOON)
    release_reservation(reservation=kept, at=NOON)
    assert not use(alice, tokens).allowed
    assert expire_credits(at=NOON) == 1
    assert ledger_of(pack) == (0, 0)


BAD = [
    {"amount": 0},
    {"amount": -1},
    {"amount": Decimal("1e21")},
    {"priority": 0},
    {"priority": 256},
    {"expires_at": NOON},
]


@pytest.mark.parametrize("wrong", BAD)
def test_wish_that_makes_no_sense_is_refused(alice, tokens, wrong):
    with pytest.raises(InvalidInput):
        pack_of(alice, tokens, **wrong)
    assert not CreditPack.objects.exists()


def test_meter_of_another_project_or_without_a_limit_is_refused(journal, mallory, alice, tokens):
    with pytest.raises(InvalidInput):
        pack_of(mallory, tokens)
    with pytest.raises(InvalidInput):
        pack_of(alice, journal.meters.create(code="clicks"))


@pytest.mark.django_db(transaction=True)
def test_one_credit_and_eight_at_once_admit_one(alice, tokens):
    pack = pack_of(alice, tokens, 1)
    allowed = at_once(lambda: use(alice, tokens).allowed)
    assert sorted(allowed) == [False] * 7 + [True]
    assert ledger_of(pack) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_credits_taken_back_while_they_are_spent_add_up(alice, tokens):
    pack = pack_of(alice, tokens, 100)

    def act():
        return revoke_credits(pack=pack, reason="x", actor="t", at=NOON) or use(alice, tokens, 7)

    at_once(act)
    assert ledger_of(pack) == (0, 0)
