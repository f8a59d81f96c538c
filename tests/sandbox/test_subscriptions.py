"""The life of a subscription as the clock runs."""

from datetime import timedelta

import pytest
import stripe

from tests.sandbox.conftest import give_card, type_names

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def subscribe(client, buyer, monthly):
    """Makes a subscription to a plan of 10 dollars a month."""

    def make(card="pm_card_visa", **more):
        wanted = {"customer": buyer(card).id, "items": [{"price": monthly().id}], **more}
        return client.subscriptions.create(wanted)

    return make


def invoices_of(client, subscription):
    found = client.invoices.list({"subscription": subscription.id}).data
    return [(i.billing_reason, i.status, i.total) for i in found]


def status_of(client, subscription):
    return client.subscriptions.retrieve(subscription.id).status


def item_of(subscription):
    return subscription["items"].data[0]


def test_a_good_card_makes_it_active_and_pays_the_first_invoice(client, subscribe):
    subscription = subscribe(expand=["latest_invoice.payments"])

    invoice = subscription.latest_invoice
    assert subscription.status == "active"
    assert (invoice.status, invoice.amount_paid) == ("paid", 1000)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.payments.data[0].status == "paid"


def test_the_period_is_on_the_item_and_one_month_long(subscribe, sandbox):
    item = item_of(subscribe())

    assert item.current_period_start == sandbox.now()
    assert item.current_period_end == sandbox.now() + 31 * 86400


def test_events_come_in_stripes_order(client, subscribe, sandbox):
    subscribe()

    assert type_names(sandbox)[-10:] == [
        "customer.subscription.created",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


def test_a_renewal_is_drafted_at_the_end_and_paid_an_hour_later(client, subscribe, sandbox):
    subscription = subscribe()

    sandbox.advance(31 * DAY)
    drafted = invoices_of(client, subscription)
    sandbox.advance(HOUR)

    assert drafted[0] == ("subscription_cycle", "draft", 1000)
    assert invoices_of(client, subscription)[0] == ("subscription_cycle", "paid", 1000)


def test_a_year_of_renewals_keeps_the_day_of_the_month(client, subscribe, sandbox):
    subscription = subscribe()
    first_end = item_of(subscription).current_period_end

    sandbox.advance(365 * DAY + 2 * HOUR)

    found = client.subscriptions.retrieve(subscription.id)
    assert len(client.invoices.list({"subscription": subscription.id, "limit": 50}).data) == 13
    assert item_of(found).current_period_end == first_end + 365 * 86400


def test_a_trial_costs_nothing_until_it_ends(client, subscribe, sandbox):
    subscription = subscribe(trial_period_days=14)
    trialing = invoices_of(client, subscription)

    sandbox.advance(14 * DAY + HOUR)

    assert (subscription.status, trialing) == ("trialing", [("subscription_create", "paid", 0)])
    assert status_of(client, subscription) == "active"
    assert invoices_of(client, subscription)[0] == ("subscription_cycle", "paid", 1000)


def test_the_end_of_a_trial_is_told_three_days_before(client, subscribe, sandbox):
    subscribe(trial_period_days=14)

    sandbox.advance(11 * DAY - HOUR)
    before = type_names(sandbox).count("customer.subscription.trial_will_end")
    sandbox.advance(2 * HOUR)

    after = type_names(sandbox).count("customer.subscription.trial_will_end")
    assert (before, after) == (0, 1)


def test_a_trial_without_a_card_can_end_in_cancellation(client, sandbox, monthly):
    customer = client.customers.create()
    ends = {"end_behavior": {"missing_payment_method": "cancel"}}
    wanted = {"customer": customer.id, "items": [{"price": monthly().id}], "trial_settings": ends}
    subscription = client.subscriptions.create({**wanted, "trial_period_days": 7})

    sandbox.advance(8 * DAY)

    assert status_of(client, subscription) == "canceled"


def test_a_failing_card_leaves_it_incomplete_then_expired(client, subscribe, sandbox):
    subscription = subscribe("pm_card_chargeCustomerFail")
    at_first = subscription.status

    sandbox.advance(23 * HOUR)

    assert (at_first, status_of(client, subscription)) == ("incomplete", "incomplete_expired")
    assert invoices_of(client, subscription) == [("subscription_create", "void", 1000)]


def test_error_if_incomplete_stores_nothing(client, subscribe, sandbox):
    with pytest.raises(stripe.CardError):
        subscribe("pm_card_chargeCustomerFail", payment_behavior="error_if_incomplete")

    assert list(sandbox.store.all("subscription")) == []
    assert list(sandbox.store.all("invoice")) == []


def test_without_a_card_it_is_refused(client, monthly):
    customer = client.customers.create()

    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.subscriptions.create({"customer": customer.id, "items": [{"price": monthly().id}]})


def test_default_incomplete_waits_for_the_payment_intent(client, monthly):
    customer = client.customers.create()
    wanted = {"customer": customer.id, "items": [{"price": monthly().id}]}
    wanted |= {"payment_behavior": "default_incomplete", "expand": ["latest_invoice.payments"]}
    subscription = client.subscriptions.create(wanted)

    intent = subscription.latest_invoice.payments.data[0].payment.payment_intent
    client.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})

    assert (subscription.status, status_of(client, subscription)) == ("incomplete", "active")


def test_a_failed_renewal_is_retried_and_then_cancels(client, subscribe, sandbox):
    subscription = subscribe()
    give_card(client, subscription.customer, "pm_card_chargeCustomerFail")

    sandbox.advance(31 * DAY + HOUR)
    past_due = status_of(client, subscription)
    sandbox.advance(15 * DAY)

    invoice = client.invoices.list({"subscription": subscription.id}).data[0]
    found = client.subscriptions.retrieve(subscription.id)
    assert (past_due, found.status, invoice.attempt_count) == ("past_due", "canceled", 4)
    assert found.cancellation_details.reason == "payment_failed"


def test_a_new_card_ends_past_due_at_the_next_retry(client, subscribe, sandbox):
    subscription = subscribe()
    give_card(client, subscription.customer, "pm_card_chargeCustomerFail")
    sandbox.advance(31 * DAY + HOUR)

    give_card(client, subscription.customer, "pm_card_visa")
    sandbox.advance(3 * DAY)

    assert status_of(client, subscription) == "active"


def test_after_the_last_retry_it_can_be_left_unpaid(client, subscribe, sandbox):
    sandbox.settings.after_retries = "unpaid"
    subscription = subscribe()
    give_card(client, subscription.customer, "pm_card_chargeCustomerFail")

    sandbox.advance(31 * DAY + 16 * DAY)

    assert status_of(client, subscription) == "unpaid"


def test_canceling_at_period_end_runs_until_then(client, subscribe, sandbox):
    subscription = subscribe()
    client.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    sandbox.advance(30 * DAY)
    before = status_of(client, subscription)
    sandbox.advance(DAY)

    assert (before, status_of(client, subscription)) == ("active", "canceled")
    assert len(invoices_of(client, subscription)) == 1


def test_a_cancellation_can_be_taken_back(client, subscribe, sandbox):
    subscription = subscribe()
    client.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    found = client.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    sandbox.advance(32 * DAY)

    assert (found.cancel_at, found.canceled_at) == (None, None)
    assert status_of(client, subscription) == "active"


def test_canceling_now_ends_it_now(client, subscribe, sandbox):
    subscription = subscribe()

    ended = client.subscriptions.cancel(subscription.id)

    assert (ended.status, ended.ended_at) == ("canceled", sandbox.now())
    assert type_names(sandbox)[-1] == "customer.subscription.deleted"


def test_an_upgrade_at_half_time_costs_half_the_difference(client, subscribe, monthly, sandbox):
    subscription = subscribe()
    sandbox.advance(31 * DAY / 2)
    change = {"items": [{"id": item_of(subscription).id, "price": monthly(3000).id}]}
    details = {**change, "proration_behavior": "always_invoice"}

    preview = client.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": details}
    )
    client.subscriptions.update(subscription.id, details)

    assert [line.amount for line in preview.lines.data] == [-500, 1500]
    assert invoices_of(client, subscription)[0] == ("subscription_update", "paid", 1000)


def test_a_preview_changes_nothing(client, subscribe, monthly, sandbox):
    subscription = subscribe()
    count = len(sandbox.store.by_id)
    items = [{"id": item_of(subscription).id, "quantity": 5}]

    client.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": {"items": items}}
    )

    assert len(sandbox.store.by_id) == count
    assert item_of(client.subscriptions.retrieve(subscription.id)).quantity == 1


def test_prorations_wait_for_the_renewal(client, subscribe, sandbox):
    subscription = subscribe()
    sandbox.advance(31 * DAY / 2)

    items = [{"id": item_of(subscription).id, "quantity": 2}]
    client.subscriptions.update(subscription.id, {"items": items})
    sandbox.advance(31 * DAY / 2 + HOUR)

    assert invoices_of(client, subscription)[0] == ("subscription_cycle", "paid", 2500)


def test_paused_collection_voids_what_comes_due(client, subscribe, sandbox):
    subscription = subscribe()
    client.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})

    sandbox.advance(31 * DAY + HOUR)

    assert invoices_of(client, subscription)[0] == ("subscription_cycle", "void", 1000)
    assert status_of(client, subscription) == "active"


def test_a_discount_and_a_tax_rate_make_the_total(client, subscribe):
    coupon = client.coupons.create({"percent_off": 25, "duration": "once"})
    vat = client.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})

    subscription = subscribe(discounts=[{"coupon": coupon.id}], default_tax_rates=[vat.id])

    assert invoices_of(client, subscription) == [("subscription_create", "paid", 900)]
    assert client.subscriptions.retrieve(subscription.id).discounts == []


def test_entitlements_follow_the_subscription(client, subscribe, product):
    feature = client.entitlements.features.create({"name": "Export", "lookup_key": "export"})
    client.products.features.create(product.id, {"entitlement_feature": feature.id})

    subscription = subscribe()
    held = client.entitlements.active_entitlements.list({"customer": subscription.customer})
    client.subscriptions.cancel(subscription.id)
    left = client.entitlements.active_entitlements.list({"customer": subscription.customer})

    assert ([e.lookup_key for e in held.data], left.data) == (["export"], [])


def test_a_one_time_price_cannot_be_subscribed_to(client, buyer, product):
    once = client.prices.create({"product": product.id, "currency": "usd", "unit_amount": 500})

    with pytest.raises(stripe.InvalidRequestError, match="type=recurring"):
        client.subscriptions.create({"customer": buyer().id, "items": [{"price": once.id}]})


def test_a_test_clock_moves_only_its_own_customers(client, sandbox, subscribe, buyer, monthly):
    clock = client.test_helpers.test_clocks.create({"frozen_time": sandbox.now()})
    mine = {"customer": buyer(test_clock=clock.id).id, "items": [{"price": monthly().id}]}
    on_clock, other = client.subscriptions.create(mine), subscribe()

    later = sandbox.now() + 32 * 86400
    client.test_helpers.test_clocks.advance(clock.id, {"frozen_time": later})

    assert len(invoices_of(client, on_clock)) == 2
    assert len(invoices_of(client, other)) == 1


def test_a_test_clock_advances_by_two_intervals_at_most(client, sandbox, buyer, monthly):
    clock = client.test_helpers.test_clocks.create({"frozen_time": sandbox.now()})
    customer = buyer(test_clock=clock.id)
    client.subscriptions.create({"customer": customer.id, "items": [{"price": monthly().id}]})

    later = sandbox.now() + 100 * 86400
    with pytest.raises(stripe.InvalidRequestError, match="two intervals"):
        client.test_helpers.test_clocks.advance(clock.id, {"frozen_time": later})


def test_a_change_invoiced_at_once_takes_along_what_waits(client, subscribe, monthly, sandbox):
    subscription = subscribe()
    item = {"customer": subscription.customer, "amount": 300, "currency": "usd"}
    client.invoice_items.create({**item, "subscription": subscription.id})
    sandbox.advance(31 * DAY / 2)
    items = [{"id": item_of(subscription).id, "price": monthly(3000).id}]
    details = {"items": items, "proration_behavior": "always_invoice"}
    asked = {"subscription": subscription.id, "subscription_details": details}
    preview = client.invoices.create_preview(asked)

    client.subscriptions.update(subscription.id, details)

    assert invoices_of(client, subscription)[0] == ("subscription_update", "paid", 1300)
    assert preview.total == 1300


def test_a_change_that_must_be_paid_is_refused_without_a_card(client, subscribe, monthly, sandbox):
    subscription = subscribe()
    card = client.customers.retrieve(subscription.customer).invoice_settings.default_payment_method
    client.payment_methods.detach(card)
    items = [{"id": item_of(subscription).id, "price": monthly(3000).id}]
    now_or_never = {
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }

    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.subscriptions.update(subscription.id, {"items": items, **now_or_never})

    assert item_of(client.subscriptions.retrieve(subscription.id)).price.unit_amount == 1000


def test_a_pause_with_a_date_ends_when_it_has_come(client, subscribe, sandbox):
    subscription = subscribe()
    until = sandbox.now() + 5 * 86400
    wanted = {"behavior": "void", "resumes_at": until}
    client.subscriptions.update(subscription.id, {"pause_collection": wanted})

    sandbox.advance(4 * DAY)
    assert client.subscriptions.retrieve(subscription.id).pause_collection.resumes_at == until
    sandbox.advance(2 * DAY)

    assert client.subscriptions.retrieve(subscription.id).pause_collection is None
