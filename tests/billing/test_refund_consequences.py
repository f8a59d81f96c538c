"""Bad days of a refund, and what follows from it for access and keys."""

from datetime import timedelta

import pytest

from billing.models import (
    Purchase,
    RefundBudgetUse,
    RefundLimit,
    RefundRequest,
    Subscription,
)
from billing.operations import settle_due
from billing.refund_desk import (
    approve,
)
from billing.refund_steps import follow_request, work_requests
from keystore.audit import record
from keystore.models import ApiKey, HookEndpoint, OutboxMessage
from tests.billing.refund_cast import (
    AT_PERIOD_END,
    CANCEL_NOW,
    a_budget,
    a_limit,
    ask,
    back_at_stripe,
    carry_out,
    stripe,
)
from tests.billing.refund_desk_cast import (
    bought,
    fay,
    open_features,
    payment,
    resync,
    sam,
    settle_at_bank,
    subscribed,
)
from tests.billing.test_refunds import pay
from tests.conftest import NOON
from tests.together import at_once

__all__ = ["bought", "fay", "payment", "sam", "subscribed"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "fault", ["rate_limit", "server_error", "server_error_after", "reset_after"]
)
def test_a_bad_answer_of_stripe_s_costs_time_and_no_money(payment, sam, stripe_world, clock, fault):
    stripe_world.faults.add("POST /v1/refunds", fault, times=1)

    request = carry_out(payment, sam, 3_000, clock)
    assert (request.state, bool(request.problem)) == ("running", True)
    for _ in range(3):
        clock.advance(minutes=3)
        settle_due(at=clock())
        work_requests(clock=clock)

    request.refresh_from_db()
    assert (request.state, request.problem) == ("done", "")
    assert back_at_stripe(payment) == [(3_000, "succeeded")]
    assert stripe_world.executions(route="POST /v1/refunds") == 1


def test_while_stripe_cannot_be_read_the_last_step_waits(payment, sam, stripe_world, clock):
    stripe_world.faults.add("GET /v1/*", "server_error", times=1)

    request = carry_out(payment, sam, 3_000, clock)
    assert (request.state, request.refund.status) == ("running", "succeeded")
    clock.advance(minutes=1)

    assert follow_request(request=request, clock=clock).state == "done"
    assert back_at_stripe(payment) == [(3_000, "succeeded")]


def test_a_request_that_died_under_its_worker_is_found_and_goes_on(payment, sam, clock):
    request = ask(payment, sam, 3_000)
    RefundRequest.objects.update(lease_until=NOON + timedelta(seconds=60), attempts=1)

    assert work_requests(clock=clock) == 0
    clock.advance(seconds=60)
    assert work_requests(clock=clock) == 1
    request.refresh_from_db()
    assert request.state == "done"


def test_eight_workers_at_one_request_refund_once(payment, sam, clock, stripe_world):
    ask(payment, sam, 3_000)

    at_once(lambda: work_requests(clock=clock))

    assert RefundRequest.objects.get().state == "done"
    assert stripe_world.executions(route="POST /v1/refunds") == 1


def test_a_full_refund_of_a_purchase_ends_its_access_and_rests_its_key(
    bought, fay, sam, clock, alice
):
    request = ask(bought, sam, 9_900)
    approve(request=request, person=fay, reason="fair", at=clock())

    done = follow_request(request=request, clock=clock)

    assert (done.state, done.access_ended_at) == ("done", clock())
    assert (Purchase.objects.get().state, open_features(alice, clock)) == ("refunded", [])
    assert ApiKey.objects.get().disabled_because == "payment"


def test_a_partial_refund_of_a_purchase_keeps_access_and_key(bought, sam, clock, alice):
    done = carry_out(bought, sam, 4_000, clock)

    assert (done.state, done.access_ended_at) == ("done", None)
    assert (Purchase.objects.get().state, open_features(alice, clock)) == (
        "partly_refunded",
        ["lifetime"],
    )
    assert ApiKey.objects.get().disabled_at is None


def test_an_access_that_staff_ended_stays_ended_at_every_later_sync(bought, sam, clock, alice):
    carry_out(bought, sam, 4_000, clock, ends_access=True)
    assert open_features(alice, clock) == []

    clock.advance(days=1)
    resync(bought, clock)

    assert open_features(alice, clock) == []
    assert ApiKey.objects.get().disabled_because == "payment"


def test_a_refund_that_fails_at_the_bank_gives_all_back(bought, sam, clock, alice, stripe_world):
    a_budget(alice.project, "Support", 50_000)
    HookEndpoint.objects.create(project=alice.project, url="https://app.example.com/hook")
    request = carry_out(bought, sam, 4_000, clock, ends_access=True)
    settle_at_bank(request, stripe_world)
    clock.advance(minutes=1)

    resync(bought, clock)

    request.refresh_from_db()
    assert (request.state, request.budget_use) == ("failed", None)
    assert "did not reach the buyer" in request.problem
    assert RefundBudgetUse.objects.get().used_minor == 0
    assert open_features(alice, clock) == ["lifetime"]
    assert ApiKey.objects.get().disabled_at is None
    told = OutboxMessage.objects.filter(kind__startswith="refund").order_by("pk")
    assert list(told.values_list("kind", flat=True)) == ["refund.created", "refund.failed"]


def test_a_subscription_s_refund_keeps_it_unless_told_otherwise(subscribed, sam, clock, alice):
    done = carry_out(subscribed, sam, 1_499, clock)

    assert (done.state, Subscription.objects.get().status) == ("done", "active")
    assert open_features(alice, clock) == ["pro"]
    assert ApiKey.objects.get().is_usable(clock())


def test_a_subscription_s_refund_may_cancel_it_now(subscribed, sam, clock, alice):
    done = carry_out(subscribed, sam, 1_499, clock, after=CANCEL_NOW)

    assert (done.state, done.cancel_operation.state) == ("done", "done")
    assert (Subscription.objects.get().status, open_features(alice, clock)) == ("canceled", [])
    assert ApiKey.objects.get().revoked_at is not None


def test_a_subscription_s_refund_may_end_it_with_its_period(subscribed, sam, clock, alice):
    done = carry_out(subscribed, sam, 500, clock, after=AT_PERIOD_END)

    subscription = Subscription.objects.get()
    assert (done.state, done.access_ended_at, subscription.status) == ("done", None, "active")
    assert subscription.cancel_at == subscription.current_period_end
    assert open_features(alice, clock) == ["pro"]


def test_when_the_money_cannot_move_the_subscription_stays(subscribed, sam, clock, alice):
    stripe("/v1/refunds", charge=subscribed.stripe_charge_id)
    done = carry_out(subscribed, sam, 1_499, clock, after=CANCEL_NOW)

    assert (done.state, done.cancel_operation) == ("failed", None)
    assert Subscription.objects.get().status == "active"


def test_a_crash_between_money_and_subscription_goes_on_there(subscribed, sam, clock, stripe_world):
    stripe_world.faults.add("DELETE /v1/subscriptions/*", "reset_after", times=1)
    request = carry_out(subscribed, sam, 1_499, clock, after=CANCEL_NOW)
    assert (request.state, request.cancel_operation.state) == ("running", "unknown")

    clock.advance(minutes=1)
    done = follow_request(request=request, clock=clock)

    assert (done.state, Subscription.objects.get().status) == ("done", "canceled")
    assert back_at_stripe(subscribed) == [(1_499, "succeeded")]


def test_one_request_that_breaks_does_not_hold_up_the_others(payment, bob, sam, clock):
    broken = ask(payment, sam, 100, key="click-1")
    sound = ask(pay(bob, clock, amount=20_000), sam, 100, key="click-2")
    RefundRequest.objects.filter(pk=broken.pk).update(refund=None)

    work_requests(clock=clock)

    broken.refresh_from_db()
    sound.refresh_from_db()
    assert (broken.state, sound.state) == ("running", "done")
    assert "could not go on" in broken.problem
    assert broken.lease_until is None


def test_who_moved_the_limit_needs_a_second_person_for_a_while(payment, journal, fay):
    limit = a_limit(journal, 5_000)
    moved = {"actor": "staff:fay", "act": "refundlimit.change", "target": limit}
    record(**moved, after={"amount": "9999.00"}, at=NOON - timedelta(hours=1))
    RefundLimit.objects.update(approval_above_minor=999_900)

    request = ask(payment, fay, 9_000)

    assert (request.state, request.refund) == ("awaiting", None)


def test_a_limit_moved_by_others_or_long_ago_binds_like_any(payment, journal, sam, fay):
    limit = RefundLimit.objects.get()
    moved = {"act": "refundlimit.change", "target": limit}
    record(**moved, actor="staff:fay", at=NOON - timedelta(hours=1))
    record(**moved, actor="staff:sam", at=NOON - timedelta(days=2))

    assert ask(payment, sam, 1_000).state == "running"
