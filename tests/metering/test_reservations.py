"""Keeping back, settling, releasing: nothing is counted twice, nothing gets lost."""

from datetime import timedelta

import pytest

from metering.errors import ReservationEnded, ReservationExpired, UsageExceeded
from metering.models import UsageEvent
from metering.quotas import take
from metering.reservations import expire_reservations
from metering.selectors import quota_of
from metering.services import (
    give_credits,
    release_reservation,
    reserve_quota,
    settle_reservation,
)
from tests.conftest import NOON
from tests.metering.quota_cast import give, ledger_of, metered, sell, used_of
from tests.together import at_once

LATER = NOON + timedelta(minutes=11)


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=10))
    return metered(journal)


def keep(alice, tokens, quantity, at=NOON):
    return reserve_quota(consumer=alice, meter=tokens, quantity=quantity, at=at)


def credits(alice, tokens, amount=5):
    return give_credits(
        consumer=alice,
        meter=tokens,
        amount=amount,
        reason="x",
        given_by="t",
        idempotency_key=str(amount),
        actor="t",
        at=NOON,
    )


def test_what_is_kept_back_nobody_else_gets(alice, tokens):
    keep(alice, tokens, 8)
    with pytest.raises(UsageExceeded) as refused:
        keep(alice, tokens, 3)
    assert refused.value.retry_after_seconds == 30 * 86400 + 12 * 3600 + 1
    assert used_of(alice, tokens) == (0, 8, 0)


@pytest.mark.parametrize("used", [0, 3, 8, 10])
def test_settling_uses_what_was_used_and_frees_the_rest(alice, tokens, used):
    settled = settle_reservation(reservation=keep(alice, tokens, 8), quantity=used, at=NOON)
    assert (settled.state, settled.settled_quantity) == ("settled", used)
    assert used_of(alice, tokens) == (used, 0, 0)
    assert [event.quantity for event in UsageEvent.objects.all()] == ([used] if used else [])


def test_settling_without_a_quantity_uses_all(alice, tokens):
    settle_reservation(reservation=keep(alice, tokens, 8), at=NOON)
    assert used_of(alice, tokens) == (8, 0, 0)


def test_more_than_fits_is_refused_and_stays_held(alice, tokens):
    kept = keep(alice, tokens, 8)
    with pytest.raises(UsageExceeded):
        settle_reservation(reservation=kept, quantity=11, at=NOON)
    assert used_of(alice, tokens) == (0, 8, 0)
    settle_reservation(reservation=kept, quantity=10, at=NOON)
    assert used_of(alice, tokens) == (10, 0, 0)


def test_settled_twice_counts_once(alice, tokens):
    kept = keep(alice, tokens, 8)
    first = settle_reservation(reservation=kept, quantity=3, at=NOON)
    again = settle_reservation(reservation=kept, quantity=3, at=NOON)
    assert again.event == first.event
    with pytest.raises(ReservationEnded):
        settle_reservation(reservation=kept, quantity=4, at=NOON)
    with pytest.raises(ReservationEnded):
        release_reservation(reservation=kept, at=NOON)
    assert used_of(alice, tokens) == (3, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_settled_eight_times_at_once_counts_once(alice, tokens):
    kept = keep(alice, tokens, 8)
    at_once(lambda: settle_reservation(reservation=kept, quantity=3, at=NOON))
    assert used_of(alice, tokens) == (3, 0, 0)
    assert UsageEvent.objects.count() == 1


def test_released_twice_is_free_once(alice, tokens):
    kept = keep(alice, tokens, 8)
    assert release_reservation(reservation=kept, at=NOON).state == "released"
    assert release_reservation(reservation=kept, at=NOON).state == "released"
    assert used_of(alice, tokens) == (0, 0, 0)
    with pytest.raises(ReservationEnded):
        settle_reservation(reservation=kept, at=NOON)


@pytest.mark.parametrize("swept", [False, True])
def test_expired_reservation_counts_as_free_and_cannot_be_settled(alice, tokens, swept):
    kept = keep(alice, tokens, 8)
    assert expire_reservations(at=LATER if swept else NOON) == int(swept)
    assert quota_of(consumer=alice, at=LATER)[0].left.remaining == 10
    with pytest.raises(ReservationExpired):
        settle_reservation(reservation=kept, at=LATER)
    assert release_reservation(reservation=kept, at=LATER).state == "expired"
    assert used_of(alice, tokens) == (0, 0, 0)


def test_what_another_left_to_expire_can_be_taken(alice, tokens):
    keep(alice, tokens, 8)
    assert take(consumer=alice, meter=tokens, quantity=9, event_id="", at=LATER).allowed
    assert used_of(alice, tokens) == (9, 0, 0)
    assert expire_reservations(at=LATER) == 0


def test_credits_that_a_reservation_held_go_back_first(alice, tokens):
    pack = credits(alice, tokens)
    kept = keep(alice, tokens, 14)
    assert ledger_of(pack) == (1, 1)
    settle_reservation(reservation=kept, quantity=11, at=NOON)
    assert ledger_of(pack) == (4, 4)
    assert used_of(alice, tokens) == (11, 0, 1)
    event = UsageEvent.objects.get()
    assert event.from_credits == 1
    assert sum(e.delta for e in pack.entries.filter(reference=str(event.pk))) == -1


def test_released_reservation_gives_all_its_credits_back(alice, tokens):
    pack = credits(alice, tokens)
    release_reservation(reservation=keep(alice, tokens, 14), at=NOON)
    assert ledger_of(pack) == (5, 5)
    assert used_of(alice, tokens) == (0, 0, 0)


def test_use_that_ends_in_the_next_period_counts_in_the_one_that_kept_it(alice, tokens):
    before = NOON.replace(day=31, hour=23, minute=59)
    kept = keep(alice, tokens, 8, at=before)
    settle_reservation(reservation=kept, at=before + timedelta(minutes=2))
    assert UsageEvent.objects.get().counts_at == before
    assert quota_of(consumer=alice, at=before + timedelta(minutes=2))[0].left.used == 0


@pytest.mark.django_db(transaction=True)
def test_thirty_reservations_at_once_get_exactly_what_there_is(alice, tokens):
    def one():
        try:
            return keep(alice, tokens, 2)
        except UsageExceeded:
            return None

    assert len([kept for kept in at_once(one, times=30) if kept]) == 5
    assert used_of(alice, tokens) == (0, 10, 0)


def test_reservation_ends_when_its_billing_period_is_closed(alice, tokens, settings):
    settings.USAGE_GRACE_MINUTES = 30
    before = NOON.replace(day=31, hour=23, minute=59)
    kept = reserve_quota(consumer=alice, meter=tokens, quantity=1, ttl_seconds=86400, at=before)
    assert kept.expires_at == before + timedelta(minutes=31)
