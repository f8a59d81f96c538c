"""What a customer does alone: cancel, resume, switch, another card, invoices, and their PDF."""

import re
from datetime import timedelta

import pytest
import stripe

from tests.sandbox.shop import CHALLENGED, DECLINED, GOOD, POOR, get, pay, post, sell

RETURN = "http://127.0.0.1:8000/account"


@pytest.fixture
def customer(client, sandbox, monthly):
    """Has bought a plan of 14.99 a month by Checkout."""
    session = sell(client, monthly(1499).id)
    pay(sandbox, session)
    return client.checkout.sessions.retrieve(session.id).customer


@pytest.fixture
def subscription(client, customer):
    return client.subscriptions.list({"customer": customer}).data[0]


@pytest.fixture
def portal(client, customer):
    return client.billing_portal.sessions.create({"customer": customer, "return_url": RETURN})


def now(client, subscription):
    return client.subscriptions.retrieve(subscription.id)


def test_the_page_shows_plan_price_status_and_the_way_back(sandbox, portal):
    page = get(sandbox, portal.url)

    for words in ("Pro", "$14.99 / month", "active", "ending in 4242", f'href="{RETURN}"'):
        assert words in page.body


def test_cancel_at_period_end_and_resume(client, sandbox, portal, subscription):
    answer = post(sandbox, portal.url, act="cancel", subscription=subscription.id)
    cancelled = now(client, subscription).cancel_at_period_end
    post(sandbox, portal.url, act="resume", subscription=subscription.id)

    assert (answer.status, answer.headers["Location"]) == (303, portal.url)
    assert cancelled is True
    assert now(client, subscription).cancel_at_period_end is False


def test_cancel_now(client, sandbox, portal, subscription):
    post(sandbox, portal.url, act="end", subscription=subscription.id)

    assert now(client, subscription).status == "canceled"


def test_another_card_pays_from_now_on(client, sandbox, portal, customer, subscription):
    post(sandbox, portal.url, card="5555555555554444")

    default = client.customers.retrieve(customer).invoice_settings.default_payment_method
    assert client.payment_methods.retrieve(default).card.last4 == "4444"
    assert now(client, subscription).default_payment_method == default


def test_a_card_that_needs_authentication_is_saved_after_it(client, sandbox, portal, customer):
    bank = post(sandbox, portal.url, card=CHALLENGED).headers["Location"]
    back = post(sandbox, bank, result="complete").headers["Location"]

    default = client.customers.retrieve(customer).invoice_settings.default_payment_method
    assert back == portal.url
    assert client.payment_methods.retrieve(default).card.last4 == "3184"


def test_a_declined_card_changes_nothing(client, sandbox, portal, customer, subscription):
    before = subscription.default_payment_method
    answer = post(sandbox, portal.url, card=DECLINED)

    assert (answer.status, "was declined" in answer.body) == (402, True)
    assert now(client, subscription).default_payment_method == before


def test_the_plan_is_switched_only_to_what_the_configuration_offers(
    client, sandbox, customer, subscription, product, monthly
):
    team, other = monthly(4900), monthly(100)
    update = {"enabled": True, "default_allowed_updates": ["price"]}
    update["products"] = [{"product": product.id, "prices": [team.id]}]
    features = {"subscription_update": update, "subscription_cancel": {"enabled": False}}
    configuration = client.billing_portal.configurations.create({"features": features})
    wanted = {"customer": customer, "configuration": configuration.id}
    portal = client.billing_portal.sessions.create(wanted)

    refused = post(sandbox, portal.url, act="switch", subscription=subscription.id, price=other.id)
    forbidden = post(sandbox, portal.url, act="end", subscription=subscription.id)
    post(sandbox, portal.url, act="switch", subscription=subscription.id, price=team.id)

    after = now(client, subscription)
    assert (refused.status, forbidden.status) == (402, 402)
    assert after.status == "active"
    assert after["items"].data[0].price.id == team.id


def test_nobody_cancels_for_someone_else(client, sandbox, subscription, buyer):
    other = client.billing_portal.sessions.create({"customer": buyer().id})

    answer = post(sandbox, other.url, act="end", subscription=subscription.id)

    assert answer.status == 402
    assert now(client, subscription).status == "active"


def test_a_portal_session_ends_an_hour_after_its_last_use(sandbox, portal, subscription, client):
    sandbox.advance(timedelta(minutes=59))
    used = get(sandbox, portal.url)
    sandbox.advance(timedelta(minutes=61))
    late = post(sandbox, portal.url, act="end", subscription=subscription.id)

    assert (used.status, late.status) == (200, 410)
    assert now(client, subscription).status == "active"


def test_the_default_configuration_is_one_and_listed(client, portal):
    listed = client.billing_portal.configurations.list({"is_default": True}).data

    assert [one.id for one in listed] == [portal.configuration]


def test_a_flow_leads_back_when_it_is_done(client, sandbox, customer, subscription):
    flow = {
        "type": "subscription_cancel",
        "subscription_cancel": {"subscription": subscription.id},
        "after_completion": {"type": "redirect", "redirect": {"return_url": RETURN}},
    }
    portal = client.billing_portal.sessions.create({"customer": customer, "flow_data": flow})

    answer = post(sandbox, portal.url, act="cancel", subscription=subscription.id)

    assert answer.headers["Location"] == RETURN


@pytest.fixture
def open_invoice(client, buyer):
    def make(amount, currency):
        customer = buyer(name="<img src=x onerror=alert(1)>")
        terms = {"collection_method": "send_invoice", "days_until_due": 10, "currency": currency}
        draft = client.invoices.create({"customer": customer.id, **terms})
        item = {"amount": amount, "currency": currency, "description": "Work (on site)"}
        client.invoice_items.create({"customer": customer.id, "invoice": draft.id, **item})
        return client.invoices.finalize_invoice(draft.id)

    return make


def test_an_open_invoice_is_paid_on_its_page(client, sandbox, open_invoice):
    invoice = open_invoice(2500, "usd")
    url = invoice.hosted_invoice_url

    refused = post(sandbox, url, card=POOR)
    first, second = post(sandbox, url, card=GOOD), post(sandbox, url, card=GOOD)

    paid = [charge.amount for charge in client.charges.list().data if charge.paid]
    assert (refused.status, "insufficient funds" in refused.body) == (402, True)
    assert client.invoices.retrieve(invoice.id).status == "paid"
    assert (first.status, second.status, paid) == (303, 303, [2500])


def test_an_invoice_is_authenticated_on_the_banks_page(client, sandbox, open_invoice):
    invoice = open_invoice(2500, "usd")
    bank = post(sandbox, invoice.hosted_invoice_url, card=CHALLENGED).headers["Location"]
    back = post(sandbox, bank, result="complete").headers["Location"]

    assert back == invoice.hosted_invoice_url
    assert client.invoices.retrieve(invoice.id).status == "paid"


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(123456, "usd", b"1,234.56 USD"), (1500, "jpy", b"1,500 JPY"), (1500, "kwd", b"1.500 KWD")],
)
def test_the_pdf_is_valid_and_holds_number_and_amount(
    sandbox, open_invoice, amount, currency, shown
):
    invoice = open_invoice(amount, currency)
    answer = get(sandbox, invoice.invoice_pdf)
    pdf = answer.body

    assert answer.content_type == "application/pdf"
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf.endswith(b"%%EOF\n")
    assert f"(Invoice {invoice.number})".encode() in pdf
    assert b"(Work \\(on site\\))" in pdf
    assert pdf.count(b"(" + shown + b")") == 4
    start = int(re.search(rb"startxref\n(\d+)", pdf)[1])
    offsets = [int(o) for o in re.findall(rb"(\d{10}) 00000 n ", pdf[start:])]
    assert pdf[start:].startswith(b"xref\n")
    for number, offset in enumerate(offsets, 1):
        assert pdf[offset:].startswith(b"%d 0 obj" % number)


def test_the_invoice_page_escapes_the_customers_name(sandbox, open_invoice):
    page = get(sandbox, open_invoice(2500, "usd").hosted_invoice_url)

    assert "&lt;img src=x onerror=alert(1)&gt;" in page.body
    assert "<img" not in page.body


def test_the_dashboard_refunds_disputes_and_moves_the_clock(client, sandbox, customer):
    (charge,) = client.charges.list().data
    before = sandbox.now()

    post(sandbox, "/pages/dashboard", act="refund", charge=charge.id, amount="4.99")
    too_much = post(sandbox, "/pages/dashboard", act="refund", charge=charge.id, amount="99")
    post(sandbox, "/pages/dashboard", act="dispute", charge=charge.id)
    post(sandbox, "/pages/dashboard", act="day")

    after = client.charges.retrieve(charge.id)
    assert (after.amount_refunded, after.disputed, too_much.status) == (499, True, 400)
    assert sandbox.now() - before == 24 * 3600
    assert "$14.99 (refunded $4.99)" in get(sandbox, "/").body


def test_the_dashboard_shows_and_repeats_deliveries(sandbox, client):
    seen = []
    sandbox.deliver_to(lambda body, signature: seen.append(body) or 200, "whsec_x")
    client.customers.create({"name": "<img src=x onerror=alert(1)>"})
    waiting = get(sandbox, "/").body
    sandbox.webhooks.deliver_all()
    (event,) = list(sandbox.store.all("event"))
    post(sandbox, "/pages/dashboard", act="send", event=event["id"])
    sandbox.webhooks.deliver_all()

    assert "waiting" in waiting
    assert "<img" not in waiting
    assert "delivered" in get(sandbox, "/").body
    assert len(seen) == 2


@pytest.mark.parametrize(
    "path", ["checkout/cs_x", "portal/bps_x", "invoices/in_x", "authenticate/pi_x", "receipts/ch_x"]
)
def test_an_unknown_page_is_404(sandbox, path):
    assert get(sandbox, f"/pages/{path}").status == 404


def test_a_receipt_says_what_was_paid(sandbox, client, customer):
    (charge,) = client.charges.list().data

    assert "$14.99 paid on 15 Jan 2026." in get(sandbox, charge.receipt_url).body


def test_an_unknown_customer_gets_no_portal(client):
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.billing_portal.sessions.create({"customer": "cus_nobody"})
