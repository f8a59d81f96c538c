"""Every kind of difference is found, named, and mended."""

from datetime import timedelta

import pytest

from billing.models import Drift, Invoice, ListedObject, StripeCustomer
from billing.reconciliation.drifts import ignore_drift
from billing.reconciliation.kinds import DriftKind
from entitlements.models import Answer, Grant
from keystore.models import ApiKey, AuditEntry, KeyClaim
from tests.billing.reconciliation.conftest import at_stripe

pytestmark = pytest.mark.django_db(transaction=True)


def found(run):
    return sorted(Drift.objects.filter(run=run).values_list("kind", "field"))


# Each puts the books of one consumer wrong and says what must be found.


def subscription_missing(shop, name):
    shop.subscription(name).delete()
    return {("subscription_missing", "subscription")}


def status_differs(shop, name):
    shop.change(shop.subscription(name), status="past_due")
    return {("subscription_status_differs", "status")}


def period_differs(shop, name):
    end = shop.subscription(name).current_period_end
    shop.change(shop.subscription(name), current_period_end=end + timedelta(days=9))
    return {("subscription_period_differs", "current_period_end")}


def price_and_quantity_differ(shop, name):
    shop.change(shop.subscription(name), quantity=4, price=None, plan=None)
    kind = "subscription_price_or_quantity_differs"
    return {(kind, "quantity"), (kind, "price")}


def payment_missing(shop, name):
    shop.payment(name).delete()
    return {("payment_missing", "charge")}


def payment_differs(shop, name):
    shop.change(shop.payment(name), captured_minor=1)
    return {("payment_differs", "captured_minor")}


def refund_missing(shop, name):
    at_stripe("/v1/refunds", charge=shop.payment(name).stripe_charge_id, amount=500)
    return {("refund_missing_or_amount_differs", "refund")}


def refund_differs(shop, name):
    refund_missing(shop, name)
    shop.sync(name)
    shop.change(shop.payment(name).refunds.get(), amount_minor=400)
    shop.change(shop.payment(name), refunded_minor=400)
    return {("refund_missing_or_amount_differs", "amount_minor")}


def refund_too_many(shop, name):
    shop.payment(name).refunds.create(
        project=shop.project,
        stripe_refund_id="re_nobody_made",
        status="succeeded",
        amount_minor=5,
        currency="usd",
    )
    shop.change(shop.payment(name), refunded_minor=5)
    return {("refund_missing_or_amount_differs", "amount_refunded")}


def ledger_differs(shop, name):
    shop.change(shop.payment(name), refunded_minor=7)
    return {("ledger_differs", "refunded_minor")}


def invoice_missing(shop, name):
    Invoice.objects.get(consumer=shop.holders[name].consumer).delete()
    return {("invoice_missing", "invoice")}


def invoice_differs(shop, name):
    shop.change(Invoice.objects.get(consumer=shop.holders[name].consumer), status="open")
    return {("invoice_status_differs", "status")}


def customer_deleted(shop, name):
    at_stripe(f"/v1/customers/{shop.holders[name].stripe_customer_id}", _method="delete")
    return {("customer_deleted", "deleted"), ("subscription_status_differs", "status")}


def mirror_differs(shop, name):
    from djstripe import models

    models.Subscription.objects.filter(id=shop.subscription(name).stripe_subscription_id).delete()
    return {("mirror_differs", "mirrored status")}


def _wrong_grant(shop, name, **values):
    """The answer is made by whoever asks next, so that it is not wrong as well."""
    Grant.objects.filter(source_ref=shop.subscription(name).stripe_subscription_id).update(**values)
    Answer.objects.filter(consumer=shop.holders[name].consumer).delete()


def grant_missing(shop, name):
    _wrong_grant(shop, name, revoked_at=shop.clock())
    return {("grant_missing_or_extra", "grant of pro")}


def grant_extra(shop, name):
    path = f"/v1/subscriptions/{shop.subscription(name).stripe_subscription_id}"
    at_stripe(path, _method="delete")
    shop.sync(name)
    _wrong_grant(shop, name, revoked_at=None)
    return {("grant_missing_or_extra", "grant of pro")}


def grant_window_differs(shop, name):
    _wrong_grant(shop, name, valid_to=None)
    return {("grant_window_differs", "valid_to of pro")}


def key_missing(shop, name):
    KeyClaim.objects.filter(key__consumer=shop.holders[name].consumer).delete()
    ApiKey.objects.filter(consumer=shop.holders[name].consumer).delete()
    return {("key_missing", "key")}


def key_suspended(shop, name):
    key = ApiKey.objects.get(consumer=shop.holders[name].consumer)
    shop.change(key, disabled_at=shop.clock(), disabled_because="payment")
    return {("key_state_differs", "suspended")}


def key_not_revoked(shop, name):
    path = f"/v1/subscriptions/{shop.subscription(name).stripe_subscription_id}"
    at_stripe(path, _method="delete")
    shop.sync(name)
    shop.change(ApiKey.objects.get(consumer=shop.holders[name].consumer), revoked_at=None)
    return {("key_state_differs", "revoked")}


def key_limit_differs(shop, name):
    key = ApiKey.objects.get(consumer=shop.holders[name].consumer)
    shop.change(key, plan_limit_per_minute=1)
    return {("key_limit_differs", "limit_per_minute")}


def answer_stale(shop, name):
    body = '{"plans": [], "entitlements": [], "changes_at": null}'
    shop.change(Answer.objects.get(consumer=shop.holders[name].consumer), body=body)
    return {("answer_stale", "answer")}


PLANTED = {
    plant.__name__: plant
    for plant in (
        subscription_missing,
        status_differs,
        period_differs,
        price_and_quantity_differ,
        payment_missing,
        payment_differs,
        refund_missing,
        refund_differs,
        refund_too_many,
        ledger_differs,
        invoice_missing,
        invoice_differs,
        customer_deleted,
        mirror_differs,
        grant_missing,
        grant_extra,
        grant_window_differs,
        key_missing,
        key_suspended,
        key_not_revoked,
        key_limit_differs,
        answer_stale,
    )
}
NOT_BY_SYNC = {"refund_too_many"}  # Stripe has no such refund, and a refund is never deleted


def test_books_that_are_right_have_no_difference(shop, settle, look):
    shop.sell_to("alice", "bob")
    settle()

    run = look()

    assert found(run) == []
    assert (run.state, run.found) == ("done", 0)
    assert run.compared == 5 * 2  # customers, subscriptions, charges, invoices, answers
    assert ListedObject.objects.count() == 0


@pytest.mark.slow
def test_every_kind_of_difference_is_found_named_and_mended(shop, settle, look):
    shop.sell_to(*PLANTED)
    expected = {(name, *one) for name, plant in PLANTED.items() for one in plant(shop, name)}
    settle()

    look()
    rows = Drift.objects.all()
    assert set(rows.values_list("consumer__external_id", "kind", "field")) == expected
    assert [row for row in rows if not row.cause] == []
    assert {row.stripe_customer_id for row in rows} == {
        holder.stripe_customer_id for holder in shop.holders.values()
    }

    mended = look(repair=["all"])
    left = {row.consumer.external_id: row.note for row in rows.exclude(state="repaired")}
    assert set(left) == NOT_BY_SYNC
    assert (mended.found, mended.repaired) == (len(expected), len(expected) - 1)
    assert {row.kind for row in rows} == set(DriftKind.values) - {
        "customer_missing",
        "subscription_not_at_stripe",
        "dispute_missing_or_differs",  # planted beside the access that it decides
    }
    assert look().found == len(NOT_BY_SYNC)


def test_a_refund_that_stripe_does_not_have_is_ignored_once_and_for_all(shop, settle, look):
    shop.sell_to("alice")
    refund_too_many(shop, "alice")
    settle()
    assert look(repair=["all"]).found == 1
    drift = Drift.objects.get()
    assert drift.state == "failed"

    assert ignore_drift(drift=drift, actor="staff:sam", reason="test data", at=shop.clock())

    assert look(repair=["all"]).found == 0
    assert Drift.objects.get().state == "ignored"


def test_a_customer_that_we_forgot_is_adopted_again(shop, settle, look):
    dora = shop.project.consumers.create(external_id="dora")
    made = at_stripe("/v1/customers", metadata={"latchkey_consumer": dora.public_id})
    settle()

    run = look(repair=["customer_missing"])

    assert found(run) == [("customer_missing", "customer")]
    assert Drift.objects.get().state == "repaired"
    assert StripeCustomer.objects.get(consumer=dora).stripe_customer_id == made["id"]


def test_a_subscription_that_stripe_lost_is_ended_by_the_repair_alone(
    shop, settle, look, stripe_world
):
    shop.sell_to("alice", "bob")
    bob = shop.subscription("bob")
    stripe_world.store.by_id.pop(bob.stripe_subscription_id)
    stripe_world.store.by_kind["subscription"].pop(bob.stripe_subscription_id)
    settle()

    run = look()
    assert found(run) == [("subscription_not_at_stripe", "subscription")]
    assert shop.subscription("bob").status == "active"

    look(repair=["subscription_not_at_stripe"])
    assert Drift.objects.get().state == "repaired", Drift.objects.get().note
    assert shop.subscription("bob").status == "canceled"
    assert Grant.objects.live(shop.clock()).filter(consumer=bob.consumer).count() == 0
    assert ApiKey.objects.get(consumer=bob.consumer).revoked_at is not None
    assert AuditEntry.objects.filter(act="drift.repair").count() == 1
