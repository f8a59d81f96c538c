"""Many at once for the last units, over HTTP: exactly as many get one as there are.

QUOTA_ROUNDS=500 plays longer.
"""

import os
from collections import Counter
from itertools import count
from threading import Barrier

import pytest
from rest_framework.test import APIClient

from metering.models import CreditPack, QuotaBalance, UsageEvent
from metering.services import give_credits
from tests.conftest import NOON
from tests.metering.quota_cast import give, ledger_of, metered, sell
from tests.together import at_once

ROUNDS = int(os.environ.get("QUOTA_ROUNDS", "4"))
AT_ONCE = 30

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600 + 10 * ROUNDS),
]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("metering.api.check.now", lambda: NOON)


def told_at_once(backend_key, users, quantity=1, **wish):
    """For each user in turn, how often which code was told to `AT_ONCE` clients at once."""
    numbers, started = count(), Barrier(AT_ONCE)
    told = {user: Counter() for user in users}

    def one():
        client, number = APIClient(), next(numbers)
        client.credentials(HTTP_X_API_KEY=backend_key)
        for user in users:
            asked = {"user_id": user, "feature_code": "tokens", "quantity": quantity, **wish}
            if wish.get("consume"):
                asked["event_id"] = f"{user} {number}"
            started.wait(60)
            code = client.post("/api/v1/check", asked, format="json").json()["code"]
            told[user].update([code])

    at_once(one, times=AT_ONCE)
    return list(told.values())


def subscribers(journal, plan):
    for number in range(ROUNDS):
        user = journal.consumers.create(external_id=f"user {number}")
        give(user, plan=plan)
        yield user


@pytest.mark.parametrize("wish", [{"consume": True}, {"reserve": True}], ids=["use", "reserve"])
def test_five_left_and_thirty_at_once_give_exactly_five(journal, backend_key, wish):
    plan, meter = sell(journal, "tokens", limit=5), metered(journal)
    users = [user.external_id for user in subscribers(journal, plan)]
    told = told_at_once(backend_key, users, **wish)
    assert told == [{"ALLOWED": 5, "USAGE_EXCEEDED": 25}] * ROUNDS
    balances = QuotaBalance.objects.filter(meter=meter)
    assert [balance.used + balance.reserved for balance in balances] == [5] * ROUNDS
    assert UsageEvent.objects.count() == (5 * ROUNDS if "consume" in wish else 0)


def test_credits_admit_as_often_as_they_pay_the_cost(journal, backend_key):
    """7 credits and a cost of 2 admit 3: one is left, and nothing is owed."""
    plan, meter = sell(journal, "tokens", limit=0), metered(journal)
    users = []
    for user in subscribers(journal, plan):
        users.append(user.external_id)
        for amount in (4, 3):
            give_credits(
                consumer=user,
                meter=meter,
                amount=amount,
                reason="x",
                given_by="t",
                idempotency_key=str(amount),
                actor="t",
                at=NOON,
            )
    told = told_at_once(backend_key, users, quantity=2, consume=True)
    assert [one["ALLOWED"] for one in told] == [3] * ROUNDS
    packs = CreditPack.objects.all()
    assert sum(pack.remaining for pack in packs) == ROUNDS
    assert all(left == total for left, total in map(ledger_of, packs))
