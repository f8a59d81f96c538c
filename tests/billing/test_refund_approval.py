"""Above the limit a second person agrees; nobody gives more than their budget."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from billing.customers import ensure_customer
from billing.models import (
    Payment,
    RefundBudgetUse,
    RefundRequest,
)
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
from keystore.models import AuditEntry
from tests.billing.refund_cast import (
    a_budget,
    a_person,
    ask,
    back_at_stripe,
    carry_out,
    stripe,
)
from tests.billing.refund_desk_cast import fay, payment, resync, sam
from tests.conftest import NOON
from tests.together import at_once

__all__ = ["fay", "payment", "sam"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


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
