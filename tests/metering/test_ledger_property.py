"""Whatever is given, used, kept back, settled and taken back: every unit is accounted for."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as some

from config.errors import DomainError
from metering.credits import expire_credits
from metering.models import CreditEntry, CreditPack, QuotaBalance, Reservation, UsageEvent
from metering.quotas import take
from metering.reservations import expire_reservations
from metering.services import (
    give_credits,
    release_reservation,
    reserve_quota,
    revoke_credits,
    settle_reservation,
)
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell

LIMIT = 10
amounts = some.decimals(Decimal("0.1"), Decimal(9), places=1)
which = some.integers(0, 3)
ACTS = some.one_of(
    some.tuples(some.just("give"), amounts, some.sampled_from([None, 1, 5])),
    some.tuples(some.just("take"), amounts, which),
    some.tuples(some.just("reserve"), amounts, some.integers(1, 4)),
    some.tuples(some.just("settle"), amounts, which),
    some.tuples(some.just("release"), amounts, which),
    some.tuples(some.just("revoke"), amounts, which),
    some.tuples(some.just("sweep"), amounts, which),
)


class Play:
    """One consumer, a hard limit of ten, and a clock that goes on by a minute each time."""

    def __init__(self, consumer, meter):
        self.consumer, self.meter, self.at = consumer, meter, NOON
        self.packs, self.kept = [], []

    def act(self, name, amount, detail):
        self.at += timedelta(minutes=1)
        with suppress(DomainError):  # a refusal changes nothing, which is what is looked at next
            getattr(self, name)(amount, detail)

    def give(self, amount, minutes):
        pack = give_credits(
            consumer=self.consumer,
            meter=self.meter,
            amount=amount,
            priority=1 + len(self.packs) % 3,
            expires_at=minutes and self.at + timedelta(minutes=minutes),
            reason="x",
            given_by="t",
            idempotency_key=str(len(self.packs)),
            actor="t",
            at=self.at,
        )
        self.packs.append(pack)

    def take(self, amount, _):
        take(consumer=self.consumer, meter=self.meter, quantity=amount, event_id="", at=self.at)

    def reserve(self, amount, minutes):
        self.kept.append(
            reserve_quota(
                consumer=self.consumer,
                meter=self.meter,
                quantity=amount,
                ttl_seconds=60 * minutes,
                at=self.at,
            )
        )

    def settle(self, amount, number):
        if self.kept:
            kept = self.kept[number % len(self.kept)]
            settle_reservation(reservation=kept, quantity=amount, at=self.at)

    def release(self, _, number):
        if self.kept:
            release_reservation(reservation=self.kept[number % len(self.kept)], at=self.at)

    def revoke(self, _, number):
        if self.packs:
            pack = self.packs[number % len(self.packs)]
            revoke_credits(pack=pack, reason="x", actor="t", at=self.at)

    def sweep(self, _, __):
        expire_reservations(at=self.at)
        expire_credits(at=self.at)


def total(rows, field):
    return rows.aggregate(total=Sum(field))["total"] or Decimal(0)


def every_unit_is_accounted_for():
    for pack in CreditPack.objects.all():
        assert 0 <= pack.remaining <= pack.amount
        assert pack.remaining == total(pack.entries, "delta")
    entries = CreditEntry.objects.all()
    spent = -total(entries.filter(kind__in=["spent", "returned"]), "delta")
    gone = -total(entries.filter(kind__in=["expired", "revoked"]), "delta")
    given = total(entries.filter(kind="given"), "delta")
    assert given == spent + gone + total(CreditPack.objects, "remaining")
    balance = QuotaBalance.objects.first()
    if balance is None:
        assert spent == 0
        return
    held = Reservation.objects.filter(state="held")
    assert balance.used == total(UsageEvent.objects, "quantity")
    assert balance.reserved == total(held, "quantity")
    assert balance.from_credits == spent
    assert spent == total(UsageEvent.objects, "from_credits") + total(held, "from_credits")
    assert balance.used + balance.reserved - balance.from_credits <= LIMIT


@pytest.mark.django_db
@settings(max_examples=25)
@given(acts=some.lists(ACTS, max_size=12))
def test_every_unit_is_accounted_for(journal, alice, acts):
    with transaction.atomic():
        give(alice, plan=sell(journal, "tokens", limit=LIMIT))
        play = Play(alice, metered(journal))
        for act in acts:
            play.act(*act)
            every_unit_is_accounted_for()
        transaction.set_rollback(True)
