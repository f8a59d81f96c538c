"""Changes to come happen once, at the price of the instant they were due, whatever fails."""

from datetime import timedelta

import pytest

from billing.models import ScheduledChange, ScheduleState, Subscription
from billing.operations import settle_due
from billing.scheduled import carry_out_due
from billing.schedules import AlreadyScheduled, NotScheduled, schedule_change, withdraw
from billing.subscription_desk import cancel_now, pause, resume
from keystore.models import AuditEntry
from tests.billing.subscribers import at_stripe, follow, give_card, invoices_of
from tests.billing.subscription_desk_cast import (
    UPDATE,
    do,
    executions,
    open_plans,
    subscription,
    team,
    team_monthly,
)

__all__ = ["subscription", "team", "team_monthly"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def plan_change(subscription, price, clock, *, due_at=None):
    return schedule_change(
        subscription=subscription,
        price=price,
        quantity=None,
        due_at=due_at,
        actor="app:x",
        reason="asked",
        at=clock(),
    )


def to_the_renewal(clock, **more):
    clock.advance(days=30, hours=23, minutes=55)
    return carry_out_due(clock=clock)


def test_with_the_next_period_nothing_is_settled_and_the_renewal_has_the_new_price(
    subscription, team_monthly, alice, clock
):
    plan_change(subscription, team_monthly, clock)
    assert carry_out_due(clock=clock) == 0

    assert to_the_renewal(clock) == 1
    clock.advance(hours=2)
    follow(alice.stripe_customer, clock)

    assert invoices_of(subscription)[:2] == [
        ("subscription_cycle", "paid", 4999),
        ("subscription_create", "paid", 1499),
    ]
    assert open_plans(alice, clock()) == ["team"]
    assert ScheduledChange.objects.get().state == ScheduleState.DONE


def test_what_was_missed_is_settled_as_of_the_renewal(subscription, team_monthly, alice, clock):
    plan_change(subscription, team_monthly, clock)
    clock.advance(days=33)
    follow(alice.stripe_customer, clock)

    assert carry_out_due(clock=clock) == 1

    paid = [total for _, status, total in invoices_of(subscription) if status == "paid"]
    assert paid == [3500, 1499, 1499]  # the rest of 4999 for the whole of its period


def test_at_a_date_the_rest_of_the_period_is_settled(subscription, team_monthly, clock):
    plan_change(subscription, team_monthly, clock, due_at=clock() + timedelta(days=15, hours=12))
    clock.advance(days=15, hours=13)

    assert carry_out_due(clock=clock) == 1
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1750)


def test_a_declined_card_leaves_the_old_plan_and_is_told(subscription, team_monthly, alice, clock):
    plan_change(subscription, team_monthly, clock, due_at=clock() + timedelta(days=2))
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    clock.advance(days=3)

    assert carry_out_due(clock=clock) == 1

    row = ScheduledChange.objects.get()
    assert (row.state, "declined" in row.problem) == (ScheduleState.FAILED, True)
    assert open_plans(alice, clock()) == ["pro"]
    assert AuditEntry.objects.filter(act="subscription.schedule_failed").count() == 1
    assert carry_out_due(clock=clock) == 0


def test_a_lost_answer_does_not_change_it_twice(subscription, team_monthly, clock, stripe_world):
    plan_change(subscription, team_monthly, clock, due_at=clock() + timedelta(days=2))
    clock.advance(days=3)
    stripe_world.faults.add(UPDATE, "reset_after", times=1)
    before = executions(stripe_world)

    assert carry_out_due(clock=clock) == 0
    clock.advance(minutes=10)
    settle_due(at=clock())
    assert carry_out_due(clock=clock) == 1

    assert executions(stripe_world) == before + 1
    assert ScheduledChange.objects.get().state == ScheduleState.DONE


def test_an_outage_is_waited_for(subscription, team_monthly, clock, stripe_world):
    plan_change(subscription, team_monthly, clock, due_at=clock() + timedelta(days=2))
    clock.advance(days=3)
    stripe_world.faults.add("*", "rate_limit", times=1)

    assert carry_out_due(clock=clock) == 0
    clock.advance(minutes=2)
    assert carry_out_due(clock=clock) == 1


def test_one_waits_at_a_time_and_can_be_withdrawn(subscription, team_monthly, clock):
    plan_change(subscription, team_monthly, clock)
    with pytest.raises(AlreadyScheduled):
        plan_change(subscription, team_monthly, clock)

    withdraw(subscription=subscription, actor="app:x", reason="", at=clock())

    with pytest.raises(NotScheduled):
        withdraw(subscription=subscription, actor="app:x", reason="", at=clock())
    assert to_the_renewal(clock) == 0
    assert at_stripe(subscription)["items"]["data"][0]["price"]["unit_amount"] == 1499


def test_what_ended_before_is_withdrawn(subscription, team_monthly, clock):
    plan_change(subscription, team_monthly, clock)
    do(cancel_now, subscription, clock)

    assert to_the_renewal(clock) == 1
    assert ScheduledChange.objects.get().state == ScheduleState.WITHDRAWN


def test_a_pause_ends_at_its_date_and_the_new_period_is_charged(subscription, alice, clock):
    do(pause, subscription, clock, resumes_at=clock() + timedelta(days=40))
    clock.advance(days=39)
    follow(alice.stripe_customer, clock)
    assert (carry_out_due(clock=clock), open_plans(alice, clock())) == (0, [])

    clock.advance(days=2)
    assert carry_out_due(clock=clock) == 1

    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1499)
    assert open_plans(alice, clock()) == ["pro"]
    assert Subscription.objects.get().paused is False


def test_resuming_by_hand_takes_the_date_back(subscription, clock):
    do(pause, subscription, clock, resumes_at=clock() + timedelta(days=10))
    do(resume, subscription, clock, seen=None)
    do(pause, subscription, clock)
    clock.advance(days=11)

    assert carry_out_due(clock=clock) == 0
    assert at_stripe(subscription)["pause_collection"] is not None
