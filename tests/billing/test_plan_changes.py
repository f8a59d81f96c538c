"""A change of plan costs what was shown, once, or nothing happens."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from billing import gateway
from billing.models import Operation, OperationState, Payment
from billing.operations import OperationPending, settle_due
from billing.subscription_desk import (
    PreviewOutdated,
    Seen,
    cancel_at_period_end,
    cancel_now,
    change_plan,
    pause,
    resume,
)
from billing.subscriptions import (
    AlreadySo,
    NotChangeable,
    preview_plan_change,
    preview_resume,
)
from config.errors import DomainError, InvalidInput
from entitlements.models import Plan
from keystore.models import AuditEntry, HookEndpoint, OutboxMessage
from tests.billing.conftest import sell
from tests.billing.subscribers import follow, give_card, invoices_of, subscribe
from tests.billing.subscription_desk_cast import (
    HALF_OF_MARCH,
    UPDATE,
    change,
    do,
    executions,
    in_a_thread,
    open_plans,
    subscription,
    team,
    team_monthly,
)
from tests.together import at_once

__all__ = ["subscription", "team", "team_monthly"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_upgrade_charges_to_the_cent_what_was_shown(subscription, alice, team_monthly, clock):
    clock.advance(**HALF_OF_MARCH)

    preview, outcome = change(subscription, team_monthly, clock)

    assert [line.amount_minor for line in preview.lines] == [-750, 2500]
    assert (preview.due_now_minor, preview.next_minor) == (1750, 4999)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1750)
    assert Payment.objects.order_by("-created_at")[0].captured_minor == 1750
    assert open_plans(alice, clock()) == ["team"]
    assert "17.50 USD is charged now" in outcome.said


def test_the_charge_is_what_was_shown_also_when_the_click_comes_later(
    subscription, team_monthly, clock
):
    clock.advance(**HALF_OF_MARCH)
    preview = preview_plan_change(subscription=subscription, price=team_monthly, at=clock())
    clock.advance(minutes=29)

    seen = Seen(preview.at, preview.due_now_minor)
    do(change_plan, subscription, clock, price=team_monthly, prorate=True, seen=seen)

    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1750)


def test_without_proration_nothing_is_charged_until_the_next_period(
    subscription, alice, team_monthly, clock
):
    clock.advance(**HALF_OF_MARCH)

    preview, _ = change(subscription, team_monthly, clock, prorate=False)

    assert (preview.due_now_minor, preview.next_minor, preview.lines) == (0, 4999, ())
    assert len(invoices_of(subscription)) == 1
    clock.advance(days=17)
    assert invoices_of(subscription)[0] == ("subscription_cycle", "paid", 4999)


@pytest.mark.parametrize("prorate", [True, False])
def test_a_yearly_price_begins_a_new_period_at_what_was_shown(
    subscription, team, stripe_world, clock, prorate
):
    yearly = sell(team, stripe_world, amount_minor=49900, interval="year")
    clock.advance(**HALF_OF_MARCH)

    preview, _ = change(subscription, yearly, clock, prorate=prorate)

    due = 49900 - 750 if prorate else 49900
    assert (preview.due_now_minor, preview.next_minor) == (due, 49900)
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", due)
    assert preview.next_at.date().isoformat() == "2027-03-17"


def test_an_upgrade_taken_back_at_once_nets_nothing(subscription, pro_monthly, team_monthly, clock):
    clock.advance(**HALF_OF_MARCH)
    change(subscription, team_monthly, clock)
    subscription.refresh_from_db()
    change(subscription, pro_monthly, clock)

    totals = [total for _, _, total in invoices_of(subscription)]
    assert sum(totals[:2]) == 0
    assert totals[0] == -1750


def test_a_change_that_waits_for_a_renewal_item_takes_it_along_as_shown(
    subscription, alice, team_monthly, clock
):
    params = {
        "customer": alice.stripe_customer.stripe_customer_id,
        "amount": 300,
        "currency": "usd",
        "subscription": subscription.stripe_subscription_id,
    }
    gateway.write("/v1/invoiceitems", params, idempotency_key="t:item")
    clock.advance(**HALF_OF_MARCH)

    preview, _ = change(subscription, team_monthly, clock)

    assert preview.due_now_minor == 2050
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 2050)


def test_a_card_that_is_declined_leaves_everything_as_it_was(
    subscription, alice, team_monthly, clock
):
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    clock.advance(**HALF_OF_MARCH)

    with pytest.raises(gateway.StripeRefused, match=r"nothing was changed.*declined"):
        change(subscription, team_monthly, clock)

    assert len(invoices_of(subscription)) == 1
    assert open_plans(alice, clock()) == ["pro"]
    assert AuditEntry.objects.filter(act="subscription.refused").count() == 1
    assert Operation.objects.latest("pk").state == OperationState.FAILED


def test_a_price_that_differs_from_what_was_seen_is_not_charged(
    subscription, team_monthly, clock, stripe_world
):
    clock.advance(**HALF_OF_MARCH)
    seen = Seen(clock(), 1)

    with pytest.raises(PreviewOutdated, match=r"17\.50 USD"):
        do(change_plan, subscription, clock, price=team_monthly, prorate=True, seen=seen)
    assert executions(stripe_world) == 0


@pytest.mark.parametrize("age", [timedelta(minutes=31), timedelta(minutes=-1)])
def test_a_preview_that_is_too_old_or_not_made_yet_is_refused(
    subscription, team_monthly, clock, age
):
    seen = Seen(clock() - age, 3500)

    with pytest.raises(PreviewOutdated, match="too old"):
        do(change_plan, subscription, clock, price=team_monthly, prorate=True, seen=seen)


def test_prices_that_do_not_fit_are_refused(
    subscription, team, lifetime, stripe_world, orbit, pro_monthly, clock
):
    euros = sell(team, stripe_world, amount_minor=4999, currency="eur")
    for price, error, says in [
        (lifetime, InvalidInput, "not for sale as a subscription"),
        (euros, InvalidInput, "same currency"),
        (pro_monthly, AlreadySo, "already"),
    ]:
        with pytest.raises(error, match=says):
            preview_plan_change(subscription=subscription, price=price, at=clock())
    pro_monthly.project = orbit
    with pytest.raises(InvalidInput, match="another project"):
        preview_plan_change(subscription=subscription, price=pro_monthly, at=clock())


def test_a_paused_or_unpaid_one_does_not_change_its_plan(subscription, alice, team_monthly, clock):
    do(pause, subscription, clock)
    with pytest.raises(NotChangeable, match="resume it first"):
        preview_plan_change(subscription=subscription, price=team_monthly, at=clock())
    preview = preview_resume(subscription=subscription, at=clock())
    do(resume, subscription, clock, seen=Seen(preview.at, 0))
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    clock.advance(days=33)

    with pytest.raises(NotChangeable, match="past_due"):
        preview_plan_change(subscription=subscription, price=team_monthly, at=clock())
    with pytest.raises(NotChangeable, match="open invoice"):
        do(pause, subscription, clock)


def test_in_a_trial_a_change_costs_nothing(alice, pro_monthly, team_monthly, clock):
    subscription = subscribe(alice, pro_monthly, clock, trial_period_days=14)

    preview, _ = change(subscription, team_monthly, clock)

    assert (preview.due_now_minor, preview.next_minor) == (0, 4999)
    assert open_plans(alice, clock()) == ["team"]


def test_a_trial_that_stopped_for_want_of_a_card_goes_on_once_there_is_one(
    alice, pro_monthly, clock
):
    ends = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = subscribe(
        alice, pro_monthly, clock, card="", trial_period_days=7, trial_settings=ends
    )
    clock.advance(days=8)
    follow(alice.stripe_customer, clock)
    assert open_plans(alice, clock()) == []
    give_card(alice.stripe_customer, "pm_card_visa")

    preview = preview_resume(subscription=subscription, at=clock())
    do(resume, subscription, clock, seen=Seen(preview.at, preview.due_now_minor))

    assert preview.due_now_minor == 1499
    assert invoices_of(subscription)[0][1:] == ("paid", 1499)
    assert open_plans(alice, clock()) == ["pro"]


@pytest.mark.parametrize(
    "fault", ["rate_limit", "server_error", "server_error_after", "reset_before", "reset_after"]
)
def test_a_plan_change_is_executed_once_whatever_becomes_of_the_answer(
    subscription, alice, team_monthly, clock, stripe_world, fault
):
    clock.advance(**HALF_OF_MARCH)
    stripe_world.faults.add(UPDATE, fault, times=1)

    _, outcome = change(subscription, team_monthly, clock)
    assert (outcome.done, "not answered yet" in outcome.said) == (False, True)
    for _ in range(3):
        clock.advance(minutes=10)
        settle_due(at=clock())

    outcome.operation.refresh_from_db()
    assert outcome.operation.state == OperationState.DONE
    assert executions(stripe_world) == 1
    assert [invoice[2] for invoice in invoices_of(subscription)] == [1750, 1499]
    follow(alice.stripe_customer, clock)
    assert open_plans(alice, clock()) == ["team"]


def test_while_one_change_has_no_outcome_a_second_one_waits(
    subscription, team_monthly, clock, stripe_world
):
    stripe_world.faults.add(UPDATE, "reset_after", times=1)
    do(cancel_at_period_end, subscription, clock)

    with pytest.raises(OperationPending, match="no outcome yet"):
        do(pause, subscription, clock)


def test_a_stripe_that_cannot_be_read_changes_nothing(subscription, clock, stripe_world):
    stripe_world.faults.add("GET /v1/subscriptions/*", "server_error", times=5)

    with pytest.raises(gateway.StripeUnavailable):
        do(pause, subscription, clock)
    assert not AuditEntry.objects.filter(act="subscription.pause").exists()


def test_of_eight_who_click_at_once_one_changes_the_plan(
    subscription, team_monthly, clock, stripe_world
):
    clock.advance(**HALF_OF_MARCH)
    preview = preview_plan_change(subscription=subscription, price=team_monthly, at=clock())
    seen = Seen(preview.at, preview.due_now_minor)

    def click():
        try:
            do(change_plan, subscription, clock, price=team_monthly, prorate=True, seen=seen)
        except DomainError as refusal:
            return refusal.code
        return "changed"

    outcomes = at_once(click)

    assert outcomes.count("changed") == 1
    assert set(outcomes) <= {"changed", "operation_pending", "already_so", "preview_outdated"}
    assert executions(stripe_world) == 1
    assert len(invoices_of(subscription)) == 2


def test_a_change_made_while_the_price_was_asked_makes_it_outdated(
    subscription, journal, team_monthly, clock, stripe_world
):
    whole = Plan.objects.create(project=journal, code="whole", name="Whole", rank=50)
    dearer = sell(whole, stripe_world, amount_minor=7999)
    clock.advance(**HALF_OF_MARCH)
    preview = preview_plan_change(subscription=subscription, price=dearer, at=clock())
    seen = Seen(preview.at, preview.due_now_minor)
    fault = stripe_world.faults.add(
        "POST /v1/invoices/create_preview", "slow_snapshot", seconds=60, times=1
    )
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(
            in_a_thread, do, change_plan, subscription, clock, price=dearer, prorate=True, seen=seen
        )
        assert fault.waits.wait(60)
        change(subscription, team_monthly, clock)
        fault.let_go.set()
        with pytest.raises(PreviewOutdated):
            slow.result()

    assert executions(stripe_world) == 1


def test_what_became_of_it_is_told_to_the_hooks_once(alice, journal, pro_monthly, clock):
    url = "https://hooks.example.com"
    HookEndpoint.objects.create(project=journal, url=url, sealed_secret=b"x")
    kinds = OutboxMessage.objects.filter(kind__startswith="subscription.").order_by("pk")

    subscription = subscribe(alice, pro_monthly, clock)
    follow(alice.stripe_customer, clock)
    do(cancel_at_period_end, subscription, clock)
    do(cancel_now, subscription, clock)
    follow(alice.stripe_customer, clock)

    told = [(one.kind.partition(".")[2], one.data["status"]) for one in kinds]
    assert told == [("created", "active"), ("updated", "active"), ("ended", "canceled")]
    assert kinds[0].data["plan"] == "pro"
    assert kinds[0].consumer == alice


def test_a_payment_that_fails_is_told_once(alice, journal, subscription, clock):
    url = "https://hooks.example.com"
    HookEndpoint.objects.create(project=journal, url=url, sealed_secret=b"x")
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    clock.advance(days=31, hours=2)

    follow(alice.stripe_customer, clock)
    follow(alice.stripe_customer, clock)

    message = OutboxMessage.objects.get(kind="payment.failed")
    assert (message.data["user_id"], message.data["currency"]) == ("alice", "usd")
    assert "declined" in message.data["reason"]
