"""Selling through a Checkout session: what is asked, what the page does, what comes of it."""

from datetime import timedelta

import pytest
import stripe

from tests.sandbox.conftest import type_names
from tests.sandbox.shop import (
    CANCEL,
    CHALLENGED,
    DECLINED,
    GOOD,
    POOR,
    SUCCESS,
    TYPED,
    get,
    pay,
    post,
    sell,
)


@pytest.fixture
def once(client, product):
    return client.prices.create({"product": product.id, "currency": "jpy", "unit_amount": 1500})


@pytest.fixture
def session(client, monthly):
    return sell(client, monthly(1499).id)


def again(client, session, **more):
    return client.checkout.sessions.retrieve(session.id, more)


def test_a_new_session_is_open_unpaid_and_has_a_page(session, sandbox):
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.url == f"{sandbox.public_url}/pages/checkout/{session.id}"
    assert session.expires_at - session.created == 24 * 3600
    assert (session.amount_total, session.currency) == (1499, "usd")


def test_typing_a_good_card_completes_the_session(client, sandbox, session):
    answer = post(sandbox, session.url, **TYPED)

    paid = again(client, session, expand=["subscription", "customer"])
    assert answer.status == 303
    assert answer.headers["Location"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.subscription.status == "active"
    assert (paid.customer.email, paid.customer.name) == ("ada@example.com", "Ada Lovelace")


def test_a_purchase_emits_what_stripe_emits(sandbox, session):
    before = len(type_names(sandbox))

    pay(sandbox, session)

    assert sorted(type_names(sandbox)[before:]) == [
        "charge.succeeded",
        "checkout.session.completed",
        "customer.created",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "payment_intent.created",
        "payment_intent.succeeded",
        "payment_method.attached",
    ]
    assert type_names(sandbox)[-1] == "checkout.session.completed"


def test_the_card_pays_the_next_period_too(client, sandbox, session):
    pay(sandbox, session)
    sandbox.advance(timedelta(days=32))

    subscription = again(client, session).subscription
    invoices = client.invoices.list({"subscription": subscription}).data
    assert [(i.billing_reason, i.status) for i in invoices] == [
        ("subscription_cycle", "paid"),
        ("subscription_create", "paid"),
    ]


@pytest.mark.parametrize(
    ("card", "words"), [(DECLINED, "was declined"), (POOR, "has insufficient funds")]
)
def test_a_declined_card_says_so_and_may_be_tried_again(client, sandbox, session, card, words):
    refused = pay(sandbox, session, card)
    still = again(client, session).status
    pay(sandbox, session, GOOD)

    assert (refused.status, still) == (402, "open")
    assert f"Your card {words}." in refused.body
    assert again(client, session).status == "complete"
    assert len(client.subscriptions.list({"status": "all"}).data) == 1


def test_pressing_pay_twice_pays_once(client, sandbox, session):
    first, second = pay(sandbox, session), pay(sandbox, session)

    assert first.headers["Location"] == second.headers["Location"]
    assert len(client.charges.list().data) == 1


def test_authentication_passed_completes(client, sandbox, session):
    bank = pay(sandbox, session, CHALLENGED).headers["Location"]
    done = post(sandbox, bank, result="complete")

    assert "/pages/authenticate/pi_" in bank
    assert done.headers["Location"].endswith(f"session_id={session.id}")
    assert again(client, session).payment_status == "paid"


def test_authentication_failed_leads_back_and_may_be_tried_again(client, sandbox, session):
    bank = pay(sandbox, session, CHALLENGED).headers["Location"]
    back = post(sandbox, bank, result="fail").headers["Location"]
    page = get(sandbox, back)
    pay(sandbox, session)

    assert back == session.url
    assert "could not authenticate your card" in page.body
    assert again(client, session).status == "complete"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"email": "ada"}, "Enter your e-mail address."),
        ({"expiry": "13/34"}, "Enter the expiry date as MM / YY."),
        ({"expiry": "12/25"}, "Your card&#x27;s expiry date is in the past."),
        ({"cvc": "1"}, "Your card&#x27;s security code is incomplete."),
        ({"number": ""}, "Your card number is incomplete."),
        ({"number": "4242424242424241"}, "Your card number is incorrect."),
    ],
)
def test_a_mistyped_form_charges_nothing(client, sandbox, session, change, words):
    answer = post(sandbox, session.url, **{**TYPED, **change})

    assert answer.status == 402
    assert words in answer.body
    assert client.charges.list().data == []


def test_payment_mode_charges_once_without_a_customer(client, sandbox, once):
    session = sell(
        client,
        once.id,
        mode="payment",
        client_reference_id="order-7",
        payment_intent_data={"metadata": {"order": "7"}},
    )
    page = get(sandbox, session.url)
    pay(sandbox, session)

    paid = again(client, session, expand=["payment_intent"])
    assert "¥1,500" in page.body
    assert (paid.status, paid.customer, paid.client_reference_id) == ("complete", None, "order-7")
    assert (paid.payment_intent.status, paid.payment_intent.amount) == ("succeeded", 1500)
    assert paid.payment_intent.metadata.to_dict() == {"order": "7"}


def test_payment_mode_makes_customer_and_invoice_when_asked(client, sandbox, once):
    wanted = {"customer_creation": "always", "invoice_creation": {"enabled": True}}
    session = sell(client, once.id, mode="payment", **wanted)
    pay(sandbox, session)

    paid = again(client, session, expand=["customer", "invoice"])
    assert paid.customer.email == "ada@example.com"
    assert (paid.invoice.status, paid.invoice.total) == ("paid", 1500)


def test_setup_mode_saves_the_card_and_charges_nothing(client, sandbox, buyer):
    customer = buyer()
    session = sell(client, "", mode="setup", currency="usd", customer=customer.id)
    pay(sandbox, session)

    done = again(client, session, expand=["setup_intent"])
    assert (done.status, done.payment_status) == ("complete", "no_payment_required")
    assert done.setup_intent.status == "succeeded"
    assert len(client.payment_methods.list({"customer": customer.id}).data) == 2
    assert client.charges.list().data == []


def test_a_trial_takes_the_card_and_no_money(client, sandbox, monthly):
    data = {"trial_period_days": 7, "metadata": {"plan": "pro"}}
    session = sell(client, monthly().id, subscription_data=data)
    pay(sandbox, session)

    done = again(client, session, expand=["subscription"])
    assert (done.amount_total, done.payment_status) == (0, "no_payment_required")
    assert done.subscription.status == "trialing"
    assert done.subscription.metadata.to_dict() == {"plan": "pro"}
    assert done.subscription.default_payment_method is not None
    assert client.charges.list().data == []


def test_a_promotion_code_typed_by_the_buyer_lowers_the_price(client, sandbox, monthly):
    coupon = client.coupons.create({"percent_off": 20})
    code = {"type": "coupon", "coupon": coupon.id}
    client.promotion_codes.create({"promotion": code, "code": "SPRING"})
    session = sell(client, monthly(1000).id, allow_promotion_codes=True)

    wrong = post(sandbox, session.url, act="code", code="AUTUMN")
    post(sandbox, session.url, act="code", code="spring")
    pay(sandbox, session)

    paid = again(client, session)
    assert "This code is invalid." in wrong.body
    assert (paid.amount_total, paid.total_details.amount_discount) == (800, 200)
    assert client.charges.list().data[0].amount == 800


def test_price_data_makes_the_price_on_the_spot(client, sandbox):
    data = {"currency": "eur", "unit_amount": 500, "product_data": {"name": "Sticker"}}
    session = client.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": SUCCESS,
            "line_items": [{"price_data": data, "quantity": 3}],
            "expand": ["line_items"],
        }
    )

    item = session.line_items.data[0]
    assert (item.description, item.quantity, item.amount_total) == ("Sticker", 3, 1500)
    assert "€15.00" in get(sandbox, session.url).body
    listed = client.checkout.sessions.line_items.list(session.id)
    assert [one.id for one in listed.data] == [item.id]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"success_url": None}, "success_url"),
        ({"mode": "payment"}, "mode"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"line_items": []}, "line_items"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "line_items[0][price]"),
        ({"expires_at": 1}, "expires_at"),
        ({"customer_creation": "always"}, "customer_creation"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(client, monthly, change, param):
    wanted = {"mode": "subscription", "success_url": SUCCESS}
    wanted["line_items"] = [{"price": monthly().id, "quantity": 1}]
    asked = {name: value for name, value in {**wanted, **change}.items() if value is not None}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.checkout.sessions.create(asked)

    assert refused.value.param == param


def test_an_archived_price_is_not_sold(client, monthly):
    price = monthly()
    client.prices.update(price.id, {"active": False})

    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        sell(client, price.id)


def test_a_session_expires_after_a_day(client, sandbox, session):
    sandbox.advance(timedelta(hours=24))

    answer = pay(sandbox, session)
    assert again(client, session).status == "expired"
    assert type_names(sandbox)[-1] == "checkout.session.expired"
    assert "has expired" in answer.body
    assert client.charges.list().data == []


def test_an_expired_session_takes_its_unpaid_subscription_along(client, sandbox, session):
    pay(sandbox, session, DECLINED)
    client.checkout.sessions.expire(session.id)

    (subscription,) = client.subscriptions.list({"status": "all"}).data
    assert subscription.status == "incomplete_expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        client.checkout.sessions.expire(session.id)


def test_sessions_are_found_by_what_became_of_them(client, sandbox, session, monthly):
    sell(client, monthly().id)
    pay(sandbox, session)
    paid = again(client, session)

    for filters in (
        {"status": "complete"},
        {"customer": paid.customer},
        {"subscription": paid.subscription},
    ):
        found = client.checkout.sessions.list(filters).data
        assert [one.id for one in found] == [session.id]


def test_a_complete_session_says_so(sandbox, session):
    url = session.url
    pay(sandbox, session)

    assert "This payment is complete." in get(sandbox, url).body


def test_the_page_links_back_and_escapes_names(client, sandbox, monthly):
    nasty = client.products.create({"name": "<img src=x onerror=alert(1)>"})
    session = sell(client, monthly(product=nasty.id).id)
    page = get(sandbox, session.url)

    assert f'href="{CANCEL}"' in page.body
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.body
    assert "<img" not in page.body
    assert "this is not Stripe, no money moves" in page.body
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_the_customers_own_address_is_shown_not_asked(client, sandbox, monthly, buyer):
    session = sell(client, monthly().id, customer=buyer().id)
    page = get(sandbox, session.url)
    post(sandbox, session.url, card=GOOD, email="someone@else.example")

    assert 'name="email"' not in page.body
    assert again(client, session).customer_details.email == "buyer@example.com"
