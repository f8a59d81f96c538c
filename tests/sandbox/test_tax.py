"""Stripe Tax, tax ids, and coupons that are counted."""

from datetime import timedelta

import pytest
import stripe

from tests.sandbox.conftest import type_names

BERLIN = {"country": "DE", "postal_code": "10119", "city": "Berlin", "line1": "Torstr. 1"}
TAXED = {"automatic_tax": {"enabled": True}}


@pytest.fixture
def living_in(buyer):
    return lambda **address: buyer(address=address or BERLIN)


def preview(client, customer, price, **more):
    wanted = {"customer": customer.id, "subscription_details": {"items": [{"price": price.id}]}}
    return client.invoices.create_preview({**wanted, **TAXED, **more})


@pytest.mark.parametrize(
    ("address", "tax"),
    [
        ({"country": "DE"}, 190),
        ({"country": "FI"}, 255),
        ({"country": "US", "postal_code": "10001"}, 89),
        ({"country": "US", "postal_code": "97201"}, 0),
        ({"country": "BR"}, 0),
    ],
)
def test_tax_is_by_the_customers_place(client, living_in, monthly, address, tax):
    made = preview(client, living_in(**address), monthly())

    assert (made.total_taxes[0].amount if made.total_taxes else 0, made.total) == (tax, 1000 + tax)
    assert made.automatic_tax.status == "complete"


def test_an_inclusive_price_has_its_tax_in_it(client, living_in, product):
    wanted = {
        "product": product.id,
        "unit_amount": 1190,
        "currency": "eur",
        "recurring": {"interval": "month"},
        "tax_behavior": "inclusive",
    }
    made = preview(client, living_in(), client.prices.create(wanted))

    assert (made.total, made.total_taxes[0].amount, made.total_excluding_tax) == (1190, 190, 1000)


def test_a_vat_id_reverses_the_charge_and_says_how_it_was_verified(client, living_in, monthly):
    buyer, price = living_in(), monthly()
    made = client.customers.tax_ids.create(buyer.id, {"type": "eu_vat", "value": "DE123456789"})
    refused = client.customers.tax_ids.create(buyer.id, {"type": "eu_vat", "value": "DE111111111"})

    assert (made.verification.status, refused.verification.status) == ("verified", "unverified")
    found = preview(client, buyer, price)
    assert (found.total, found.total_taxes[0].taxability_reason) == (1000, "reverse_charge")
    client.customers.tax_ids.delete(buyer.id, made.id)
    client.customers.tax_ids.delete(buyer.id, refused.id)
    assert preview(client, buyer, price).total == 1190


def test_a_tax_id_of_the_wrong_form_is_refused(client, living_in):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.customers.tax_ids.create(living_in().id, {"type": "eu_vat", "value": "DE12"})

    assert refused.value.code == "tax_id_invalid"


@pytest.mark.parametrize("address", [{"city": "Berlin"}, {"country": "US"}, {"country": "CA"}])
def test_without_a_place_nothing_begins(client, living_in, monthly, address):
    buyer, price = living_in(**address), monthly()
    wish = {"customer": buyer.id, "items": [{"price": price.id}], **TAXED}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.subscriptions.create(wish)
    assert refused.value.code == "customer_tax_location_invalid"
    assert client.subscriptions.list({"customer": buyer.id, "status": "all"}).data == []
    assert preview(client, buyer, price).automatic_tax.status == "requires_location_inputs"


def test_a_lost_place_leaves_the_renewal_a_draft_and_tells(client, living_in, monthly, sandbox):
    buyer = living_in()
    wish = {"customer": buyer.id, "items": [{"price": monthly().id}], **TAXED}
    made = client.subscriptions.create(wish)
    client.customers.update(buyer.id, {"address": "", "tax": {"validate_location": "deferred"}})
    sandbox.advance(timedelta(days=31, hours=2))

    newest = client.invoices.list({"subscription": made.id}).data[0]
    assert (newest.status, newest.last_finalization_error.code) == (
        "draft",
        "customer_tax_location_invalid",
    )
    assert "invoice.finalization_failed" in type_names(sandbox)


def test_the_last_redemption_is_had_once(client, living_in, monthly):
    price = monthly()
    client.coupons.create({"id": "one", "percent_off": 50, "max_redemptions": 1})
    code = client.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": "one"}, "code": "ONE"}
    )
    wish = {"items": [{"price": price.id}], "discounts": [{"promotion_code": code.id}]}
    first = client.subscriptions.create({"customer": living_in().id, **wish})

    assert client.invoices.retrieve(first.latest_invoice).total == 500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.subscriptions.create({"customer": living_in().id, **wish})
    assert refused.value.code == "coupon_expired"
    coupon = client.coupons.retrieve("one")
    assert (coupon.times_redeemed, coupon.valid) == (1, False)


def test_a_second_currency_is_refused_while_one_runs(client, living_in, monthly, product):
    euros = client.prices.create(
        {
            "product": product.id,
            "unit_amount": 900,
            "currency": "eur",
            "recurring": {"interval": "month"},
        }
    )
    buyer = living_in()
    client.subscriptions.create({"customer": buyer.id, "items": [{"price": monthly().id}]})

    with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies"):
        client.subscriptions.create({"customer": buyer.id, "items": [{"price": euros.id}]})
