"""After a merge Stripe's word about either customer reaches the survivor; the books are right."""

import pytest

from billing import gateway
from billing.customers import ensure_customer, find_holder
from billing.invariants import check_all
from billing.merging import merge_consumers, rehearse_merge
from billing.models import Drift, Payment, StripeCustomer, Subscription
from billing.sync import sync_customer
from billing.usage_counted import untold
from entitlements.models import Grant
from keystore.merging import NotMergeable
from keystore.models import ApiKey, AuditEntry, Consumer
from metering.models import Cycle
from tests.billing.reconciliation.conftest import look, settle
from tests.billing.subscribers import subscribe
from tests.billing.usage_cast import at_stripe, count, customer, link_meter, report
from tests.conftest import NOON
from tests.together import at_once

__all__ = ["look", "settle"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def merge(duplicate, survivor, clock):
    return merge_consumers(
        duplicate=duplicate, survivor=survivor, actor="staff:sam", reason="same", clock=clock
    )


def broken(at):
    return {row.code: row.examples for row in check_all(at=at) if row.violations}


def test_a_subscription_of_the_duplicate_goes_on_as_the_survivors(
    alice, bob, pro_monthly, bought_once, lifetime, clock, look, settle, settings
):
    """alice bought once, bob pays monthly: what Stripe says of either customer reaches alice."""
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 10_000.0
    payment = bought_once(alice, lifetime)
    subscription = subscribe(bob, pro_monthly, clock)
    hers, his = customer(alice), customer(bob)

    merger = merge(bob, alice, clock)

    alice.refresh_from_db()
    assert alice.stripe_customer.stripe_customer_id == his
    assert merger.left_customer == hers
    assert set(Grant.objects.values_list("consumer", flat=True)) == {alice.pk}
    assert Cycle.objects.get().consumer == alice
    assert set(ApiKey.objects.values_list("consumer", flat=True)) == {alice.pk}
    # A refund at Stripe of what the customer that is not charged any more once paid.
    wanted = {"charge": payment.stripe_charge_id}
    made = gateway.write("/v1/refunds", wanted, idempotency_key="t:refund")
    sync_customer(stripe_customer_id=hers, clock=clock, touched=[("refund", made["id"])])
    payment.refresh_from_db()
    assert (payment.consumer, payment.refunded_minor) == (alice, 9900)
    assert Cycle.objects.get().consumer == alice  # her own customer has none, his goes on
    # A month later the subscription renews.
    clock.advance(days=31)
    sync_customer(stripe_customer_id=his, clock=clock, full=True)
    sync_customer(stripe_customer_id=hers, clock=clock, full=True)
    subscription.refresh_from_db()
    assert subscription.current_period_start > NOON
    assert set(Payment.objects.values_list("consumer", flat=True)) == {alice.pk}
    settle()
    look()
    assert not Drift.objects.exists()
    assert set(broken(clock())) <= {"jobs-run"}


def test_both_paying_blocks_and_says_what_to_do(alice, bob, pro_monthly, clock):
    for consumer in (alice, bob):
        subscribe(consumer, pro_monthly, clock)
    with pytest.raises(NotMergeable, match="Both pay for Pro: cancel sub_"):
        merge(bob, alice, clock)
    assert Subscription.objects.filter(consumer=bob).count() == 1
    assert rehearse_merge(duplicate=bob, survivor=alice, at=NOON).blocks


def test_usage_that_stripe_was_told_of_is_not_told_again(journal, alice, bob, clock):
    link = link_meter(journal)
    hers, his = customer(alice), customer(bob)
    for consumer, quantity in ((alice, 3), (bob, 4)):
        count(consumer, link, quantity)
    clock.advance(hours=1, minutes=5)
    assert report(clock) == 2

    merge(bob, alice, clock)

    assert untold(link=link, since=NOON, until=clock(), most=10) == []
    count(alice, link, 2)
    report(clock)
    assert (at_stripe(link, hers), at_stripe(link, his)) == (5, 4)


def test_a_customer_is_not_made_for_somebody_who_was_merged_meanwhile(alice, bob, clock):
    from config.errors import Conflict

    merge(bob, alice, clock)
    with pytest.raises(Conflict, match="merged or erased"):
        ensure_customer(consumer=Consumer.objects.get(pk=bob.pk), actor="system", at=NOON)


def test_a_customer_whose_answer_was_lost_is_adopted_for_the_survivor(alice, bob, clock):
    his = customer(bob)
    StripeCustomer.objects.all().delete()
    customer(alice)
    merge(bob, alice, clock)
    sync_customer(stripe_customer_id=his, clock=clock)
    assert find_holder(stripe_customer_id=his).consumer == alice


def test_two_merges_in_opposite_directions_leave_one_survivor(alice, bob, clock):
    customer(alice), customer(bob)
    pairs = iter([(alice, bob), (bob, alice)] * 2)

    def try_it():
        try:
            return merge(*next(pairs), clock).done
        except NotMergeable:
            return None

    assert sorted(at_once(try_it, times=4), key=str) == [False, None, None, True]
    assert Consumer.objects.filter(merged_into=None).count() == 1
    assert AuditEntry.objects.filter(act="consumer.merge").count() == 1
