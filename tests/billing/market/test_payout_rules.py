"""What may be paid out, and when: without Stripe."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from billing.market.balances import balances_of, payable_of
from billing.market.payouts import CannotPayOut, want_payout
from billing.market.schedule import period_due
from billing.models import Earning, MarketPolicy, Operation, Payout
from config.clock import now
from tests.conftest import NOON


def active(creator):
    creator.stripe_account_id, creator.state, creator.payouts_enabled = "acct_1", "active", True
    creator.save(update_fields=["stripe_account_id", "state", "payouts_enabled"])


def begin(creator, **more):
    return want_payout(creator=creator, currency="usd", actor="system", at=NOON, **more)


def test_a_negative_balance_is_carried_and_not_paid(creator, earned):
    active(creator)
    earned(1_000)
    begin(creator)
    earned(-300)

    Payout.objects.update(state="paid", finished_at=NOON)
    with pytest.raises(CannotPayOut, match="nothing to pay out"):
        begin(creator)

    earned(500)
    assert begin(creator).amount_minor == 200


@pytest.mark.parametrize("why", ["disabled", "paused"])
def test_nobody_is_paid_who_cannot_or_may_not_be(creator, earned, why):
    earned(1_000)
    if why == "paused":
        active(creator)
        creator.payouts_paused_at = NOON
        creator.save(update_fields=["payouts_paused_at"])

    with pytest.raises(CannotPayOut, match=why if why == "paused" else "is new"):
        begin(creator)

    assert not Payout.objects.exists()
    assert not Operation.objects.exists()


def test_another_amount_than_previewed_is_refused(creator, earned):
    active(creator)
    earned(1_000)

    with pytest.raises(CannotPayOut, match="has changed"):
        begin(creator, expected_minor=999)


def test_currencies_are_never_added(creator, earned):
    earned(1_000)
    earned(700, currency="jpy")

    assert balances_of(creator) == {"jpy": 700, "usd": 1_000}


@pytest.mark.parametrize(
    ("balance", "currency", "paid"),
    [(1_999, "usd", 1_999), (1_999, "jpy", 1_999), (1_999, "kwd", 1_990), (1_999, "huf", 1_900)],
)
def test_only_what_stripe_can_move_is_paid(balance, currency, paid):
    assert payable_of(balance, currency) == paid


def test_a_negative_balance_pays_nothing():
    assert payable_of(-5, "kwd") == 0


@pytest.mark.parametrize(
    ("interval", "day", "period"),
    [
        ("monthly", 1, "2026-03"),
        ("monthly", 2, ""),
        ("weekly", 7, "2026-W09"),
        ("manual", 1, ""),
    ],
)
def test_a_period_begins_on_its_day(interval, day, period):
    policy = MarketPolicy(interval=interval, day=day)  # NOON is a Sunday, the first of March

    assert period_due(policy, NOON) == period


def test_the_database_refuses_a_payout_above_the_balance(creator, earned):
    active(creator)
    earned(1_000)
    payout = begin(creator)

    with pytest.raises(IntegrityError, match="more than the balance"), transaction.atomic():
        Earning.objects.create(
            project=creator.project,
            creator=creator,
            kind="payout",
            currency="usd",
            amount_minor=-1,
            payout=payout,
            source="forged",
            occurred_at=NOON,
        )


def test_the_database_refuses_a_second_open_payout(creator, earned):
    active(creator)
    earned(1_000)
    payout = begin(creator)
    twin = Operation.objects.create(
        project=creator.project, kind="transfer", path="/", params={}, actor="system"
    )
    payout.pk, payout.public_id, payout.operation = None, "pyo_x", twin

    with pytest.raises(IntegrityError, match="payout_one_open"), transaction.atomic():
        payout.save(force_insert=True)


@pytest.mark.parametrize(
    ("state", "age", "stuck"),
    [
        ("wanted", timedelta(minutes=59), False),
        ("wanted", timedelta(hours=2), True),
        ("paying", timedelta(days=7), False),
        ("paying", timedelta(days=9), True),
        ("returning", timedelta(days=10), True),
    ],
)
def test_a_payout_that_stands_still_is_told(creator, earned, client, state, age, stuck):
    active(creator)
    earned(1_000)
    payout = begin(creator)
    Payout.objects.filter(pk=payout.pk).update(state=state, created_at=now() - age)

    assert f"latchkey_payouts_stuck {float(stuck)}" in client.get("/metrics").content.decode()
