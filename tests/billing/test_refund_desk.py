"""Asking for a refund: what is refused, and what runs to its end."""

import pytest

from billing.models import (
    Payment,
    Refund,
    RefundRequest,
)
from billing.operations import OperationPending
from billing.refund_blocks import RefundBlocked
from billing.refund_desk import (
    RefundNotAllowed,
)
from billing.refund_steps import follow_request
from config.errors import IdempotencyConflict, InvalidInput
from keystore.models import AuditEntry
from tests.billing.refund_cast import (
    CANCEL_NOW,
    a_person,
    ask,
    back_at_stripe,
    carry_out,
)
from tests.billing.refund_desk_cast import dispute, payment, sam
from tests.together import at_once

__all__ = ["payment", "sam"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


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
