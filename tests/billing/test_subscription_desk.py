"""Staff end, keep, pause and resume a subscription."""

import pytest

from billing import gateway
from billing.models import Operation, Subscription
from billing.subscription_desk import (
    Seen,
    cancel_at_period_end,
    cancel_now,
    pause,
    resume,
    uncancel,
)
from billing.subscriptions import (
    AlreadySo,
    preview_resume,
)
from entitlements.models import Grant
from keystore.models import ApiKey, AuditEntry
from tests.billing.subscribers import at_stripe, follow, invoices_of
from tests.billing.subscription_desk_cast import do, open_plans, subscription

__all__ = ["subscription"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_cancel_now_ends_access_and_key_when_it_returns(subscription, alice, clock):
    outcome = do(cancel_now, subscription, clock)

    assert (outcome.done, at_stripe(subscription)["status"]) == (True, "canceled")
    assert open_plans(alice, clock()) == []
    assert ApiKey.objects.get().revoked_at == clock()
    entry = AuditEntry.objects.get(act="subscription.cancel")
    assert (entry.actor, entry.reason, entry.consumer_id) == ("staff:sam", "asked", alice.public_id)


def test_cancel_at_period_end_keeps_access_until_then(subscription, alice, clock):
    do(cancel_at_period_end, subscription, clock)

    subscription.refresh_from_db()
    assert subscription.cancel_at == subscription.current_period_end
    assert Grant.objects.get().valid_to == subscription.current_period_end
    assert open_plans(alice, clock()) == ["pro"]


@pytest.mark.parametrize("set_by", ["cancel_at_period_end", "cancel_at"])
def test_uncancel_takes_back_either_way_of_ending(subscription, clock, set_by):
    ends = int(subscription.current_period_end.timestamp())
    value = {"cancel_at_period_end": True, "cancel_at": ends}[set_by]
    path = f"/v1/subscriptions/{subscription.stripe_subscription_id}"
    gateway.write(path, {set_by: value}, idempotency_key="t:end")

    do(uncancel, subscription, clock)

    found = at_stripe(subscription)
    assert (found["cancel_at"], found["cancel_at_period_end"]) == (None, False)
    assert Subscription.objects.get().cancel_at is None


@pytest.mark.parametrize("act", [cancel_now, cancel_at_period_end, uncancel, pause])
def test_what_is_so_already_is_told_and_changes_nothing(subscription, clock, stripe_world, act):
    if act is not uncancel:
        do(act, subscription, clock)
    before = Operation.objects.count()

    with pytest.raises(AlreadySo, match="already"):
        do(act, subscription, clock)
    assert Operation.objects.count() == before


@pytest.mark.parametrize("act", [cancel_at_period_end, uncancel, pause])
def test_what_has_ended_is_not_changed(subscription, clock, act):
    do(cancel_now, subscription, clock)

    with pytest.raises(AlreadySo, match="needs a checkout"):
        do(act, subscription, clock)


def test_a_pause_collects_nothing_and_closes_when_the_paid_time_is_over(subscription, alice, clock):
    paid_until = subscription.current_period_end
    do(pause, subscription, clock)
    assert open_plans(alice, clock()) == ["pro"]
    assert Grant.objects.get().valid_to == paid_until

    clock.advance(days=33)
    follow(alice.stripe_customer, clock)

    assert invoices_of(subscription)[0] == ("subscription_cycle", "void", 1499)
    assert open_plans(alice, clock()) == []
    assert not ApiKey.objects.get().is_usable(clock())


def test_resuming_within_the_paid_time_costs_nothing(subscription, alice, clock):
    do(pause, subscription, clock)
    clock.advance(days=3)
    preview = preview_resume(subscription=subscription, at=clock())

    do(resume, subscription, clock, seen=Seen(preview.at, preview.due_now_minor))

    assert (preview.due_now_minor, preview.next_minor) == (0, 1499)
    assert len(invoices_of(subscription)) == 1
    assert at_stripe(subscription)["pause_collection"] is None
    assert Grant.objects.get().valid_to > subscription.current_period_end


def test_resuming_after_it_charges_a_new_period_as_shown(subscription, alice, clock):
    do(pause, subscription, clock)
    clock.advance(days=40)
    follow(alice.stripe_customer, clock)
    preview = preview_resume(subscription=subscription, at=clock())

    do(resume, subscription, clock, seen=Seen(preview.at, preview.due_now_minor))

    assert preview.due_now_minor == 1499
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 1499)
    assert open_plans(alice, clock()) == ["pro"]
    assert ApiKey.objects.get().is_usable(clock())


def test_a_pause_made_elsewhere_changes_no_access(subscription, alice, clock):
    path = f"/v1/subscriptions/{subscription.stripe_subscription_id}"
    wanted = {"pause_collection": {"behavior": "void"}}
    gateway.write(path, wanted, idempotency_key="t:pause")

    clock.advance(days=33)
    follow(alice.stripe_customer, clock)

    assert open_plans(alice, clock()) == ["pro"]
