"""Cards, payments, refunds and disputes."""

from datetime import timedelta

import pytest
import stripe

from sandbox.engine.setups import authenticate
from tests.sandbox.conftest import type_names

DECLINES = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
    ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
]


@pytest.fixture
def pay(client):
    """Takes 20 dollars from a test card."""

    def make(card="pm_card_visa", **more):
        wanted = {"amount": 2000, "currency": "usd", "payment_method": card, "confirm": True}
        return client.payment_intents.create({**wanted, **more})

    return make


def test_a_payment_makes_a_charge_with_its_fee(pay):
    intent = pay(expand=["latest_charge.balance_transaction"])

    charge = intent.latest_charge
    assert (intent.status, charge.paid, charge.amount_captured) == ("succeeded", True, 2000)
    assert charge.balance_transaction.net == 2000 - 88


@pytest.mark.parametrize(("card", "code", "decline_code"), DECLINES)
def test_a_declined_card_says_why(client, pay, sandbox, card, code, decline_code):
    with pytest.raises(stripe.CardError) as refused:
        pay(card)

    error = refused.value.error
    assert (error.code, error.decline_code) == (code, decline_code)
    assert error.payment_intent.status == "requires_payment_method"
    assert type_names(sandbox)[-2:] == ["charge.failed", "payment_intent.payment_failed"]


def test_a_declined_card_cannot_be_saved(client):
    customer = client.customers.create()

    with pytest.raises(stripe.CardError):
        client.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})

    assert client.payment_methods.list({"customer": customer.id}).data == []


def test_the_digits_of_a_test_card_work_too(client, pay):
    card = {"number": "4000000000009995", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    method = client.payment_methods.create({"type": "card", "card": card})

    with pytest.raises(stripe.CardError) as refused:
        pay(method.id)

    assert (method.card.last4, refused.value.error.decline_code) == ("9995", "insufficient_funds")


def test_an_unknown_card_number_is_refused(client):
    card = {"number": "1234567812345678", "exp_month": 12, "exp_year": 2034}

    with pytest.raises(stripe.CardError) as refused:
        client.payment_methods.create({"type": "card", "card": card})

    assert refused.value.code == "incorrect_number"


def test_a_challenge_waits_for_the_buyer(client, pay, sandbox):
    intent = pay("pm_card_authenticationRequired")

    authenticate(sandbox, intent.id, succeed=True)

    assert intent.status == "requires_action"
    assert "/pages/authenticate/" in intent.next_action.redirect_to_url.url
    assert client.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_challenge_off_session_is_a_decline(pay):
    with pytest.raises(stripe.CardError) as refused:
        pay("pm_card_authenticationRequired", off_session=True)

    assert refused.value.code == "authentication_required"


def test_a_card_set_up_once_needs_no_challenge_later(client, pay, sandbox):
    customer = client.customers.create()
    wanted = {"customer": customer.id, "payment_method": "pm_card_authenticationRequiredOnSetup"}
    setup = client.setup_intents.create({**wanted, "confirm": True})
    authenticate(sandbox, setup.id, succeed=True)

    intent = pay(setup.payment_method, customer=customer.id, off_session=True)

    assert (setup.status, intent.status) == ("requires_action", "succeeded")


def test_manual_capture_takes_part_of_the_money(client, pay):
    intent = pay(capture_method="manual")

    captured = client.payment_intents.capture(intent.id, {"amount_to_capture": 500})

    assert (intent.status, captured.status) == ("requires_capture", "succeeded")
    assert captured.amount_received == 500


def test_a_paid_intent_cannot_be_canceled(client, pay):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.payment_intents.cancel(pay().id)

    assert refused.value.code == "payment_intent_unexpected_state"


def test_detaching_the_default_card_takes_it_from_the_customer(client, buyer):
    customer = buyer()
    card = client.payment_methods.list({"customer": customer.id}).data[0]

    client.payment_methods.detach(card.id)

    found = client.customers.retrieve(customer.id)
    assert found.invoice_settings.default_payment_method is None


def test_refunds_never_exceed_the_charge(client, pay):
    intent = pay()
    client.refunds.create({"payment_intent": intent.id, "amount": 1500})

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.refunds.create({"payment_intent": intent.id, "amount": 501})

    charge = client.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (1500, False)


def test_a_refunded_charge_cannot_be_refunded_again(client, pay):
    intent = pay()
    client.refunds.create({"payment_intent": intent.id})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"payment_intent": intent.id, "amount": 1})

    assert refused.value.code == "charge_already_refunded"


def test_a_refund_can_fail_later_and_gives_the_amount_back(client, pay, sandbox):
    intent = pay("pm_card_refundFail")
    refund = client.refunds.create({"payment_intent": intent.id})

    sandbox.advance(timedelta(hours=1))

    assert (refund.status, client.refunds.retrieve(refund.id).status) == ("succeeded", "failed")
    assert client.charges.retrieve(intent.latest_charge).amount_refunded == 0
    assert "refund.failed" in type_names(sandbox)


def test_a_pending_refund_arrives_later(client, pay, sandbox):
    refund = client.refunds.create({"payment_intent": pay("pm_card_pendingRefund").id})

    sandbox.advance(timedelta(hours=1))

    assert (refund.status, client.refunds.retrieve(refund.id).status) == ("pending", "succeeded")


def test_the_dispute_card_is_disputed_and_cannot_be_refunded(client, pay, sandbox):
    intent = pay("pm_card_createDispute")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"payment_intent": intent.id})

    assert refused.value.code == "charge_disputed"
    assert [d.charge for d in client.disputes.list().data] == [intent.latest_charge]
    assert "charge.dispute.created" in type_names(sandbox)


def test_an_invoice_of_pending_items_is_finalized_and_paid(client, buyer):
    customer = buyer()
    client.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    wanted = {"customer": customer.id, "pending_invoice_items_behavior": "include"}
    draft = client.invoices.create(wanted)

    opened = client.invoices.finalize_invoice(draft.id)
    paid = client.invoices.pay(draft.id)

    assert (draft.status, opened.status, paid.status) == ("draft", "open", "paid")
    assert (paid.amount_paid, opened.number.endswith("-0001")) == (700, True)
    assert opened.invoice_pdf.endswith(f"/pages/invoices/{draft.id}.pdf")


def test_a_paid_invoice_cannot_be_paid_again(client, buyer):
    customer = buyer()
    client.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    wanted = {"customer": customer.id, "pending_invoice_items_behavior": "include"}
    invoice = client.invoices.pay(client.invoices.create(wanted).id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.invoices.pay(invoice.id)

    assert refused.value.code == "invoice_already_paid"


def test_an_open_invoice_can_be_voided(client):
    customer = client.customers.create()
    client.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    wanted = {"customer": customer.id, "pending_invoice_items_behavior": "include"}
    invoice = client.invoices.finalize_invoice(client.invoices.create(wanted).id)

    assert client.invoices.void_invoice(invoice.id).status == "void"


def test_kronur_and_shillings_are_whole(pay):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        pay(amount=1050, currency="isk")
    assert refused.value.code == "invalid_charge_amount_no_decimal_compatible"

    assert pay(amount=5_000_00, currency="ugx").amount == 500_000


def test_an_invoice_in_shillings_is_rounded_and_the_rest_carried(client):
    customer = client.customers.create()
    client.invoice_items.create({"customer": customer.id, "amount": 1_230, "currency": "ugx"})
    wanted = {
        **{"customer": customer.id, "currency": "ugx"},
        "pending_invoice_items_behavior": "include",
    }
    invoice = client.invoices.finalize_invoice(client.invoices.create(wanted).id)

    assert (invoice.total, invoice.amount_due, invoice.ending_balance) == (1_230, 1_200, 30)
    assert client.customers.retrieve(customer.id).balance == 30
