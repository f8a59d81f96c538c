"""Refunds as staff do them: once per wish, within limits and budgets, to the last effect."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from billing.customers import ensure_customer
from billing.models import (
    Payment,
    Purchase,
    Refund,
    RefundBudgetUse,
    RefundLimit,
    RefundRequest,
    Subscription,
)
from billing.operations import OperationPending, settle_due
from billing.refund_blocks import RefundBlocked
from billing.refund_budgets import BudgetSpent
from billing.refund_desk import (
    OwnRequest,
    RefundNotAllowed,
    RequestNotOpen,
    approve,
    reject,
)
from billing.refund_steps import follow_request, work_requests
from billing.sync import sync_customer
from config.errors import IdempotencyConflict, InvalidInput
from entitlements.models import Grant
from keystore.audit import record
from keystore.models import ApiKey, AuditEntry, HookEndpoint, OutboxMessage
from tests.billing.refund_cast import (
    AT_PERIOD_END,
    CANCEL_NOW,
    a_budget,
    a_limit,
    a_person,
    ask,
    back_at_stripe,
    carry_out,
    stripe,
)
from tests.billing.test_refunds import pay
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def payment(alice, stripe_world, clock):
    """100.00 USD paid by alice, for nothing that we sell."""
    return pay(alice, clock, amount=10_000)


@pytest.fixture
def sam(journal):
    """May give back 50.00 USD of a payment without asking."""
    a_limit(journal, 5_000)
    return a_person("sam", "Support")


@pytest.fixture
def fay(db):
    return a_person("fay", "Finance")


@pytest.fixture
def bought(alice, lifetime, clock, bought_once):
    """The lifetime plan, 99.00 USD, paid by alice."""
    return bought_once(alice, lifetime)


@pytest.fixture
def subscribed(alice, pro_monthly, clock):
    """Pro, 14.99 USD a month, paid by alice at noon."""
    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    customer = holder.stripe_customer_id
    card = stripe("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    stripe(
        "/v1/subscriptions",
        customer=customer,
        items=[{"price": pro_monthly.stripe_price_id}],
        default_payment_method=card["id"],
    )
    sync_customer(stripe_customer_id=customer, clock=clock, full=True)
    return Payment.objects.get()


def resync(payment, clock):
    customer = payment.consumer.stripe_customer.stripe_customer_id
    return sync_customer(stripe_customer_id=customer, clock=clock, full=True)


def open_features(consumer, clock):
    live = Grant.objects.live(clock() + timedelta(seconds=1)).filter(consumer=consumer)
    return [grant.plan.code for grant in live]


# --- Asking ---


def test_below_the_limit_it_runs_to_the_end(payment, sam, clock):
    request = carry_out(payment, sam, 3_000, clock)

    assert (request.state, request.refund.status) == ("done", "succeeded")
    assert back_at_stripe(payment) == [(3_000, "succeeded")]
    acts = list(AuditEntry.objects.filter(act__startswith="refund").values_list("act", "actor"))
    assert sorted(acts) == [
        ("refund.done", "system"),
        ("refund.request", "staff:sam"),
        ("refund.want", "staff:sam"),
    ]


def test_a_double_click_is_one_request(payment, sam, clock):
    first, second = ask(payment, sam, 3_000), ask(payment, sam, 3_000)

    assert first == second
    assert (RefundRequest.objects.count(), Refund.objects.count()) == (1, 1)


def test_the_same_form_with_another_amount_is_a_conflict(payment, sam):
    ask(payment, sam, 3_000)

    with pytest.raises(IdempotencyConflict):
        ask(payment, sam, 3_001)
    assert Refund.objects.get().amount_minor == 3_000


@pytest.mark.parametrize("amount", [10_001, 0, -1])
def test_more_than_is_left_and_nothing_are_refused_without_a_trace(payment, sam, amount):
    with pytest.raises((RefundBlocked, InvalidInput)):
        ask(payment, sam, amount)

    assert RefundRequest.objects.count() == Refund.objects.count() == 0
    assert not AuditEntry.objects.filter(act__startswith="refund").exists()


@pytest.mark.parametrize(
    "odd",
    [{"stripe_reason": "boredom"}, {"after": "burn"}, {"after": CANCEL_NOW}, {"ends_access": True}],
)
def test_what_makes_no_sense_is_refused(payment, sam, odd):
    with pytest.raises(InvalidInput):
        ask(payment, sam, 100, **odd)
    assert RefundRequest.objects.count() == 0


def test_another_one_waits_for_the_open_one(payment, sam):
    ask(payment, sam, 1_000)

    with pytest.raises(RefundBlocked, match=r"by staff:sam is running"):
        ask(payment, sam, 1_000, key="click-2")
    assert Refund.objects.count() == 1


def test_while_a_refund_is_unknown_none_begins(payment, sam, stripe_world, clock):
    stripe_world.faults.add("POST /v1/refunds", "reset_after", times=1)
    request = carry_out(payment, sam, 1_000, clock)
    assert request.state == "running"
    RefundRequest.objects.update(state="failed")  # as if the request had never been

    with pytest.raises((RefundBlocked, OperationPending), match="no outcome yet"):
        ask(payment, sam, 1_000, key="click-2")
    assert back_at_stripe(payment) == [(1_000, "succeeded")]


@pytest.mark.parametrize("role", ["Read-only", None])
def test_only_who_may_refund_asks(payment, sam, role):
    with pytest.raises(RefundNotAllowed):
        ask(payment, a_person("eve", role), 100)
    assert RefundRequest.objects.count() == 0


def test_a_right_taken_away_since_the_preview_is_gone(payment, sam):
    assert sam.has_perm("billing.refund_payment")
    sam.groups.clear()

    with pytest.raises(RefundNotAllowed):
        ask(payment, sam, 100)


def test_a_disputed_payment_is_not_paid_back_twice(payment, sam, stripe_world, clock):
    dispute(payment, stripe_world, clock)

    with pytest.raises(RefundBlocked, match="a refund would pay twice"):
        ask(payment, sam, 100)
    assert back_at_stripe(payment) == []


def test_a_dispute_during_the_refund_ends_the_request_clearly(payment, sam, stripe_world, clock):
    request = ask(payment, sam, 100)
    dispute(payment, stripe_world, clock)

    ended = follow_request(request=request, clock=clock)

    assert (ended.state, back_at_stripe(payment)) == ("failed", [])
    assert "charged back" in ended.problem


def test_eight_people_at_once_make_one_request(payment, sam):
    people = [a_person(f"helper{number}", "Support") for number in range(8)]

    def click():
        person = people.pop()
        try:
            return ask(Payment.objects.get(), person, 2_000, key=person.username).state
        except RefundBlocked as refusal:
            return refusal.code

    told = at_once(click)

    assert sorted(told) == ["refund_blocked"] * 7 + ["running"]
    assert (RefundRequest.objects.count(), Refund.objects.count()) == (1, 1)


# --- A second person ---


def test_above_the_limit_nothing_moves_before_a_second_person_agrees(payment, sam, fay, clock):
    request = carry_out(payment, sam, 5_001, clock)
    assert (request.state, request.expires_at) == ("awaiting", NOON + timedelta(hours=72))
    assert back_at_stripe(payment) == []

    approve(request=request, person=fay, reason="fair", at=NOON)
    done = follow_request(request=request, clock=clock)

    assert (done.state, done.requested_by, done.decided_by) == ("done", "staff:sam", "staff:fay")
    assert back_at_stripe(payment) == [(5_001, "succeeded")]


def test_without_a_limit_every_refund_needs_a_second_person(payment, clock):
    request = carry_out(payment, a_person("sue", "Support"), 1, clock)

    assert request.state == "awaiting"


def test_small_parts_of_one_payment_count_together(payment, sam, clock):
    assert carry_out(payment, sam, 5_000, clock).state == "done"
    assert carry_out(payment, sam, 1, clock, key="click-2").state == "awaiting"


def test_the_asker_never_agrees(payment, journal, fay):
    request = ask(payment, fay, 9_000)

    with pytest.raises(OwnRequest):
        approve(request=request, person=fay, reason="mine", at=NOON)
    with pytest.raises(IntegrityError, match="refund_request_four_eyes"):
        RefundRequest.objects.update(decided_by="staff:fay")


def test_who_may_not_agree_does_not(payment, sam):
    request = ask(payment, sam, 9_000)

    with pytest.raises(RefundNotAllowed):
        approve(request=request, person=a_person("sid", "Support"), reason="x", at=NOON)
    assert RefundRequest.objects.get().state == "awaiting"


def test_nobody_agrees_after_the_asker_lost_the_right(payment, sam, fay):
    request = ask(payment, sam, 9_000)
    sam.groups.clear()

    with pytest.raises(RefundNotAllowed, match="sam may not refund any more"):
        approve(request=request, person=fay, reason="fair", at=NOON)


def test_two_who_agree_at_once_move_the_money_once(payment, sam, clock):
    request = ask(payment, sam, 9_000)
    people = [a_person(f"boss{number}", "Finance") for number in range(8)]

    def click():
        try:
            return approve(request=request, person=people.pop(), reason="ok", at=NOON).state
        except RequestNotOpen as refusal:
            return refusal.code

    told = at_once(click)
    follow_request(request=request, clock=clock)

    assert sorted(told) == ["refund_request_not_open"] * 7 + ["running"]
    assert back_at_stripe(payment) == [(9_000, "succeeded")]


def test_an_expired_request_cannot_be_agreed_to(payment, sam, fay, clock):
    a_budget(payment.project, "Support", 50_000)
    request = ask(payment, sam, 9_000)
    clock.advance(hours=72)

    with pytest.raises(RequestNotOpen, match="expired on 2026-03-04 12:00 UTC"):
        approve(request=request, person=fay, reason="late", at=clock())
    assert work_requests(clock=clock) == 1
    request.refresh_from_db()
    assert (request.state, RefundBudgetUse.objects.get().used_minor) == ("expired", 0)
    assert AuditEntry.objects.get(act="refund.expire").actor == "system"


def test_the_project_says_how_long_a_request_waits(payment, sam):
    from billing.models import BillingPolicy

    BillingPolicy.objects.create(project=payment.project, refund_approval_hours=2)

    assert ask(Payment.objects.get(), sam, 9_000).expires_at == NOON + timedelta(hours=2)


def test_a_rejected_request_moves_nothing_and_frees_the_budget(payment, sam, fay):
    a_budget(payment.project, "Support", 50_000)
    request = ask(payment, sam, 9_000)

    rejected = reject(request=request, person=fay, reason="not owed", at=NOON)

    assert (rejected.state, rejected.decided_by) == ("rejected", "staff:fay")
    assert RefundBudgetUse.objects.get().used_minor == 0
    with pytest.raises(RequestNotOpen, match="rejected by staff:fay"):
        approve(request=request, person=fay, reason="after all", at=NOON)


def test_who_asked_may_withdraw(payment, sam):
    request = reject(request=ask(payment, sam, 9_000), person=sam, reason="oops", at=NOON)

    assert (request.state, request.decided_by) == ("rejected", "")
    assert AuditEntry.objects.get(act="refund.withdraw").actor == "staff:sam"


def test_what_changed_since_the_request_stops_the_agreement(payment, sam, fay, clock):
    request = ask(payment, sam, 9_000)
    stripe("/v1/refunds", charge=payment.stripe_charge_id, amount=4_000)  # in the dashboard
    resync(payment, clock)

    with pytest.raises(RefundBlocked, match=r"Only 60.00 USD"):
        approve(request=request, person=fay, reason="fair", at=NOON)
    assert back_at_stripe(payment) == [(4_000, "succeeded")]


# --- Budgets ---


def test_a_role_gives_no_more_than_its_budget(payment, sam, clock):
    a_budget(payment.project, "Support", 4_000)
    carry_out(payment, sam, 3_000, clock)

    with pytest.raises(BudgetSpent, match=r"budget of Support 10.00 USD is left"):
        ask(payment, sam, 1_001, key="click-2")
    assert RefundBudgetUse.objects.get().used_minor == 3_000
    assert back_at_stripe(payment) == [(3_000, "succeeded")]


def test_a_new_month_has_a_new_budget(payment, sam, clock):
    a_budget(payment.project, "Support", 3_000)
    carry_out(payment, sam, 3_000, clock)
    clock.advance(days=31)

    assert carry_out(payment, sam, 1_000, clock, key="click-2").state == "done"


def test_of_several_roles_the_most_generous_counts(payment, sam, clock):
    from django.contrib.auth.models import Group

    a_budget(payment.project, "Support", 1_000)
    a_budget(payment.project, "Operator", 4_000)
    sam.groups.add(Group.objects.get(name="Operator"), Group.objects.get(name="Read-only"))

    request = carry_out(payment, sam, 3_000, clock)

    assert request.budget_use.budget.role.name == "Operator"


def test_a_refunding_role_without_a_budget_has_no_cap(payment, sam, clock):
    a_budget(payment.project, "Operator", 0)

    assert carry_out(payment, sam, 3_000, clock).budget_use is None


def test_what_stripe_refuses_frees_amount_and_budget(payment, sam, clock):
    a_budget(payment.project, "Support", 4_000)
    request = ask(payment, sam, 3_000)
    stripe("/v1/refunds", charge=payment.stripe_charge_id)  # all of it, in the dashboard

    failed = follow_request(request=request, clock=clock)

    assert (failed.state, failed.budget_use) == ("failed", None)
    assert "already been refunded" in failed.problem
    assert RefundBudgetUse.objects.get().used_minor == 0


def test_eight_payments_at_once_stay_within_the_budget(alice, bob, clock, journal, sam):
    budget = a_budget(journal, "Support", 5_000)
    for consumer in (alice, bob):
        holder = ensure_customer(consumer=consumer, actor="system", at=NOON)
        for number in range(4):
            Payment.objects.create(
                project=journal,
                consumer=consumer,
                stripe_charge_id=f"ch_{consumer}_{number}",
                status="succeeded",
                currency="usd",
                captured_minor=10_000,
                created_at=NOON,
                synced_at=holder.created_at,
            )
    payments = list(Payment.objects.all())

    def click():
        payment = payments.pop()
        try:
            return ask(payment, sam, 1_500, key=payment.stripe_charge_id).state
        except BudgetSpent as refusal:
            return refusal.code

    told = at_once(click)

    assert sorted(told) == ["refund_budget_spent"] * 5 + ["running"] * 3
    assert budget.uses.get().used_minor == 4_500


# --- Bad days ---


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


# --- What follows for access and keys ---


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


def dispute(payment, stripe_world, clock, won=None):
    """The buyer's bank takes the money back; `won`: and has decided."""
    from sandbox.engine.disputes import close_dispute, open_dispute

    charge = stripe_world.store.get("charge", payment.stripe_charge_id)
    found = open_dispute(stripe_world, charge)
    if won is not None:
        close_dispute(stripe_world, found, won=won)
    resync(payment, clock)
    payment.refresh_from_db()
    return found


def settle_at_bank(request, stripe_world):
    from sandbox.engine.refunds import settle_refund

    refund = stripe_world.store.get("refund", request.refund.stripe_refund_id)
    settle_refund(stripe_world, refund, succeed=False)


# --- What must not hold up or slip through ---


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
