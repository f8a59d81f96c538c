"""Stripe's state becomes ours by one way."""

from datetime import timedelta

import pytest
from djstripe import models

from billing import gateway, mirror
from billing.customers import ensure_customer
from billing.models import StripeCustomer, Subscription
from billing.sync import NotOurs, sync_customer
from entitlements.models import Grant
from keystore.models import ApiKey
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def stripe(path, _method="post", **params):
    """What somebody does at Stripe without us."""
    key = f"test:{path}:{params}"
    return gateway.write(path, params, idempotency_key=key, method=_method)


@pytest.fixture
def customer(alice, stripe_world):
    """Alice's customer at Stripe, with a card that works."""
    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    customer_id = holder.stripe_customer_id
    card = stripe("/v1/payment_methods/pm_card_visa/attach", customer=customer_id)
    stripe(
        f"/v1/customers/{customer_id}",
        invoice_settings={"default_payment_method": card["id"]},
    )
    return holder


def subscribe(holder, price, **more):
    items = [{"price": price.stripe_price_id}]
    return stripe("/v1/subscriptions", customer=holder.stripe_customer_id, items=items, **more)


def written():
    """When each copy was last written, by its id at Stripe."""
    rows = [model.objects.values_list("id", "djstripe_updated") for model in mirror.MODELS.values()]
    return dict(rows[0].union(*rows[1:], all=True))


def test_an_active_subscription_opens_its_plan_and_makes_a_key(customer, pro_monthly, clock):
    found = subscribe(customer, pro_monthly)

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    subscription = Subscription.objects.get()
    assert (subscription.status, subscription.mrr_minor) == ("active", 1499)
    grant = Grant.objects.live(NOON).get()
    assert (grant.plan, grant.source_ref) == (pro_monthly.plan, found["id"])
    key = ApiKey.objects.get()
    assert key.provisioned_for == f"{found['id']}:default"
    assert key.plan_limit_per_minute == 600


def test_a_second_sync_changes_nothing(customer, pro_monthly, clock):
    subscribe(customer, pro_monthly)
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    report = sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    assert report.changed_grants == []
    assert ApiKey.objects.count() == 1


def test_cancelling_ends_the_grant_and_revokes_the_key(customer, pro_monthly, clock):
    found = subscribe(customer, pro_monthly)
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    stripe(f"/v1/subscriptions/{found['id']}", _method="delete")
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    assert list(Grant.objects.live(NOON + timedelta(seconds=1))) == []
    assert ApiKey.objects.get().revoked_at is not None


def test_a_customer_of_nobody_is_not_ours(stripe_world, journal, clock):
    stranger = stripe("/v1/customers", email="stranger@example.com")

    with pytest.raises(NotOurs):
        sync_customer(stripe_customer_id=stranger["id"], clock=clock)
    assert StripeCustomer.objects.count() == 0


def test_everything_is_mirrored_without_a_complaint(customer, pro_monthly, clock):
    subscribe(customer, pro_monthly)

    report = sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)

    assert report.mirror_problems == []
    kinds = [models.Customer, models.Subscription, models.Price, models.Product, models.Invoice]
    assert [kind.objects.count() for kind in kinds] == [1, 1, 1, 1, 1]
    assert [models.Charge.objects.count(), models.PaymentIntent.objects.count()] == [1, 1]
    assert models.APIKey.objects.count() == 0


def test_the_mirror_of_a_new_customer_is_written_once(customer, pro_monthly, clock, monkeypatch):
    """What dj-stripe met in vain would cost a round each: rolled back, read, and repeated."""
    subscribe(customer, pro_monthly)
    rounds, write = [], mirror.write
    monkeypatch.setattr(mirror, "write", lambda *given: rounds.append(1) or write(*given))

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)

    assert len(rounds) == 1
    assert (models.PaymentMethod.objects.count(), models.Product.objects.count()) == (1, 1)


def test_a_copy_that_says_the_same_is_left_alone(customer, pro_monthly, clock):
    subscribe(customer, pro_monthly)
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)
    before = written()
    assert len(before) > 4

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)
    assert written() == before

    stripe(f"/v1/customers/{customer.stripe_customer_id}", name="Alice Liddell")
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)

    after = written()
    assert {name for name in after if after[name] != before[name]} == {customer.stripe_customer_id}
    assert models.Customer.objects.get().name == "Alice Liddell"


@pytest.mark.parametrize("change", [{"forgotten": True}, {"status": "past_due"}])
def test_a_copy_that_says_something_else_is_written_anew(customer, pro_monthly, clock, change):
    """Also where it says more than Stripe does."""
    subscribe(customer, pro_monthly)
    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)
    copy = models.Subscription.objects.get()
    said = copy.stripe_data
    models.Subscription.objects.update(stripe_data={**said, **change})

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    copy.refresh_from_db()
    assert copy.stripe_data == said


def test_our_account_is_read_once_and_owns_the_copies(customer, pro_monthly, clock, monkeypatch):
    subscribe(customer, pro_monthly)
    read, asked = gateway.read, []
    monkeypatch.setattr(gateway, "read", lambda path, **more: asked.append(path) or read(path))

    for _ in range(2):
        sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock, full=True)

    owner = models.Account.objects.get()
    assert asked.count("/v1/account") == 1
    kinds = [models.Customer, models.Subscription, models.Invoice, models.Charge]
    assert [kind.objects.get().djstripe_owner_account for kind in kinds] == [owner] * 4
