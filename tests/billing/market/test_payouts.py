"""Creators are paid what they earned: once, by schedule, and what is refused comes back."""

import pytest

from billing.inbox import work_due
from billing.market.balances import balances_of
from billing.market.payouts import CannotPayOut, PayoutUnderWay, want_payout
from billing.market.schedule import work_payouts
from billing.models import Payout, PayoutMinimum
from billing.operations import run_operation, settle_due
from billing.receipt import keep
from keystore import hooks
from keystore.models import OutboxMessage
from sandbox.engine import connect
from sandbox.engine.ledger import record_balance
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(creator, clock):
    """The creator's account at Stripe, ready; and 1,000.00 USD on ours."""
    given = {"type": "express", "country": "US", "capabilities": {"transfers": {}}}
    made = connect.open_connected(clock.sandbox, given)
    connect.complete(clock.sandbox, made)
    source = {"id": "tu_1", "object": "topup", "currency": "usd"}
    record_balance(clock.sandbox, source=source, amount=100_000, type="topup")
    creator.stripe_account_id, creator.state, creator.payouts_enabled = made["id"], "active", True
    creator.save(update_fields=["stripe_account_id", "state", "payouts_enabled"])
    return made


@pytest.fixture
def told(journal):
    """What the project's hooks hear, kind by kind."""
    hooks.make_endpoint(
        project=journal, url="https://receiver.example/", actor="system", reason="", at=NOON
    )

    def kinds():
        rows = OutboxMessage.objects.filter(kind__regex="^(creator|payout)").order_by("pk")
        return list(rows.values_list("kind", "data__state"))

    return kinds


def pay_out(creator, clock):
    payout = want_payout(creator=creator, currency="usd", actor="system", at=clock())
    run_operation(operation=payout.operation, at=clock())
    return payout


def settle(payout, clock):
    """Let the janitor go on until nothing is left to do."""
    while settle_due(at=clock()):
        pass
    payout.refresh_from_db()
    return payout


def hear(clock):
    """Take in what Stripe tells, and work it off."""
    for event in clock.sandbox.store.all("event"):
        keep(event=event, at=clock())
    work_due(clock=clock)


def test_a_payout_reaches_the_bank(creator, account, earned, clock, told):
    earned(5_000)
    payout = settle(pay_out(creator, clock), clock)
    assert (payout.state, balances_of(creator)) == ("paying", {"usd": 0})

    clock.advance(days=2)
    hear(clock)

    payout.refresh_from_db()
    assert payout.state == "paid"
    assert payout.stripe_transfer_id.startswith("tr_")
    assert payout.stripe_payout_id.startswith("po_")
    assert told() == [("payout.paid", "paid")]


def test_a_lost_answer_moves_the_money_once(creator, account, earned, clock):
    earned(5_000)
    clock.sandbox.faults.add("POST /v1/transfers", "reset_after", times=1)
    clock.sandbox.faults.add("POST /v1/payouts", "reset_after", times=1)

    payout = pay_out(creator, clock)
    for _ in range(3):
        clock.advance(minutes=10)
        settle(payout, clock)

    assert payout.state == "paying"
    assert clock.sandbox.executions(route="POST /v1/transfers") == 1
    assert clock.sandbox.executions(route="POST /v1/payouts") == 1


def test_a_refused_transfer_is_on_the_balance_again(creator, account, earned, clock, told):
    earned(5_000)
    connect.disable(clock.sandbox, account, reason="rejected.fraud", due=[])

    payout = settle(pay_out(creator, clock), clock)

    assert payout.state == "failed"
    assert "capabilities" in payout.problem
    assert told() == [("payout.failed", "failed")]
    assert balances_of(creator) == {"usd": 5_000}


def test_an_account_disabled_midway_gives_the_money_back(creator, account, earned, clock, told):
    earned(5_000)
    payout = pay_out(creator, clock)
    connect.disable(clock.sandbox, account, reason="requirements.past_due", due=["tos"])

    settle(payout, clock)

    assert (payout.state, balances_of(creator)) == ("returned", {"usd": 5_000})
    assert connect.connected_balance(clock.sandbox, account["id"], "usd") == 0
    hear(clock)
    creator.refresh_from_db()
    assert (creator.state, creator.requirements) == ("disabled", ["tos"])
    assert told() == [("payout.failed", "returning"), ("creator.disabled", "disabled")]


def test_a_payout_that_the_bank_refuses_comes_back(creator, account, earned, clock):
    earned(5_000)
    clock.sandbox.store.hide(account["id"], bank_refuses=True)
    payout = settle(pay_out(creator, clock), clock)

    clock.advance(days=2)
    hear(clock)
    settle(payout, clock)

    assert (payout.state, balances_of(creator)) == ("returned", {"usd": 5_000})
    assert [line.amount_minor for line in payout.earnings.order_by("pk")] == [-5_000, 5_000]


def test_an_outcome_that_no_event_told_is_looked_up(creator, account, earned, clock):
    earned(5_000)
    payout = settle(pay_out(creator, clock), clock)
    clock.advance(days=3)

    work_payouts(clock=clock)

    payout.refresh_from_db()
    assert payout.state == "paid"


def test_the_schedule_pays_once_per_period_what_is_above_the_minimum(
    creator, account, earned, journal, clock
):
    PayoutMinimum.objects.create(project=journal, currency="usd", amount_minor=2_000)
    earned(1_999)
    assert work_payouts(clock=clock) == 0

    earned(1)
    assert work_payouts(clock=clock) == 1
    earned(9_000)
    assert work_payouts(clock=clock) == 0

    payout = Payout.objects.get()
    assert (payout.amount_minor, payout.period) == (2_000, "2026-03")


def test_what_was_refused_is_tried_again_the_next_day(creator, account, earned, clock):
    earned(5_000)
    clock.sandbox.faults.add("POST /v1/transfers", "refused", times=1)
    assert work_payouts(clock=clock) == 1
    assert work_payouts(clock=clock) == 0

    clock.advance(days=1, minutes=1)
    assert work_payouts(clock=clock) == 1

    states = Payout.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["failed", "transferred"]


def test_two_who_pay_out_at_once_pay_once(creator, account, earned, clock):
    earned(5_000)

    def begin():
        try:
            want_payout(creator=creator, currency="usd", actor="system", at=NOON)
        except (PayoutUnderWay, CannotPayOut):
            return False
        return True

    assert sum(at_once(begin, times=3)) == 1
    assert (Payout.objects.count(), balances_of(creator)) == (1, {"usd": 0})
