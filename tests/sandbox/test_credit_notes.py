"""Taxes on invoices by hand, and credit notes: sums, ways back, bounds, events."""

import pytest
import stripe

from tests.sandbox.conftest import type_names


@pytest.fixture
def vat(client):
    return client.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})


@pytest.fixture
def invoice(client, buyer, vat):
    """Three at 10.00 and one at 5.00, 20 % VAT on top of the three: 41.00, open."""
    customer = buyer()
    draft = client.invoices.create({"customer": customer.id, "currency": "usd"})

    def priced(amount):
        return {"currency": "usd", "unit_amount": amount, "product_data": {"name": "Seat"}}

    lines = [
        {"price_data": priced(1000), "quantity": 3, "tax_rates": [vat.id]},
        {"price_data": priced(500), "quantity": 1},
    ]
    client.invoices.add_lines(draft.id, {"lines": lines})
    return client.invoices.finalize_invoice(draft.id)


def credit(client, invoice, **given):
    return client.credit_notes.create({"invoice": invoice.id, **given})


def test_each_line_keeps_its_own_rates(invoice):
    taxed, plain = invoice.lines.data

    assert (invoice.subtotal, invoice.total, invoice.total_excluding_tax) == (3500, 4100, 3500)
    assert ([tax.amount for tax in taxed.taxes], plain.taxes) == ([600], [])


@pytest.mark.parametrize(
    ("currency", "amount", "percentage", "inclusive", "tax", "total"),
    [
        ("jpy", 333, 10, False, 33, 366),  # 33.3 is rounded down
        ("jpy", 335, 10, False, 34, 369),  # 33.5 is rounded up
        ("kwd", 12_340, 5, False, 617, 12_957),
        ("usd", 1200, 20, True, 200, 1200),
    ],
)
def test_taxes_are_whole_minor_units(
    client, buyer, currency, amount, percentage, inclusive, tax, total
):
    given = {"display_name": "T", "percentage": percentage, "inclusive": inclusive}
    rate = client.tax_rates.create(given)
    wanted = {"customer": buyer().id, "currency": currency, "default_tax_rates": [rate.id]}
    draft = client.invoices.create(wanted)
    line = {"currency": currency, "unit_amount": amount, "product_data": {"name": "x"}}

    made = client.invoices.add_lines(draft.id, {"lines": [{"price_data": line}]})

    assert (made.total_taxes[0].amount, made.total) == (tax, total)
    assert made.total_excluding_tax == total - tax


def test_an_archived_rate_is_refused(client, buyer, vat):
    client.tax_rates.update(vat.id, {"active": False})

    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        client.invoices.create({"customer": buyer().id, "default_tax_rates": [vat.id]})


def test_a_line_is_credited_with_its_tax_and_lowers_what_is_due(client, invoice, sandbox):
    line = {
        "type": "invoice_line_item",
        "invoice_line_item": invoice.lines.data[0].id,
        "quantity": 1,
    }
    asked = {"invoice": invoice.id, "lines": [line]}

    seen = client.credit_notes.preview(asked)
    assert client.credit_notes.list({"invoice": invoice.id}).data == []
    note = client.credit_notes.create(asked)

    for one in (seen, note):
        assert (one.subtotal, one.total, one.pre_payment_amount) == (1000, 1200, 1200)
        assert one.total_taxes[0].amount == 200
    assert type_names(sandbox)[-1] == "credit_note.created"
    assert client.invoices.retrieve(invoice.id).amount_due == 2900
    paid = client.invoices.pay(invoice.id)
    assert (paid.amount_paid, client.charges.list().data[0].amount) == (2900, 2900)


def test_voiding_makes_it_due_again(client, invoice, sandbox):
    note = credit(client, invoice, amount=1000)

    voided = client.credit_notes.void_credit_note(note.id)

    assert (voided.status, type_names(sandbox)[-1]) == ("void", "credit_note.voided")
    assert client.invoices.retrieve(invoice.id).amount_remaining == 4100
    with pytest.raises(stripe.InvalidRequestError):
        client.credit_notes.void_credit_note(note.id)


def test_crediting_all_that_is_due_settles_the_invoice(client, invoice):
    credit(client, invoice, amount=4100)

    settled = client.invoices.retrieve(invoice.id)

    assert (settled.status, settled.amount_paid, settled.amount_due) == ("paid", 0, 0)
    assert client.charges.list().data == []


def test_what_was_paid_goes_back_in_the_named_ways(client, invoice):
    client.invoices.pay(invoice.id)

    note = credit(
        client, invoice, amount=1000, refund_amount=500, credit_amount=300, out_of_band_amount=200
    )

    assert (note.type, note.post_payment_amount) == ("post_payment", 1000)
    assert client.customers.retrieve(invoice.customer).balance == -300
    assert [refund.amount for refund in client.refunds.list().data] == [500]
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        credit(client, invoice, amount=1000, refund_amount=500)


def test_refunds_made_before_are_linked_or_count_against_the_rest(client, invoice):
    client.invoices.pay(invoice.id)
    charge = client.charges.list().data[0].id
    first = client.refunds.create({"charge": charge, "amount": 1000})

    link = {"refund": first.id, "amount_refunded": 1000}
    note = credit(client, invoice, amount=1000, refunds=[link])
    assert (note.refunds[0].refund, len(client.refunds.list().data)) == (first.id, 1)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be linked"):
        credit(client, invoice, amount=1000, refunds=[link])

    client.refunds.create({"charge": charge, "amount": 3000})
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        credit(client, invoice, amount=101, credit_amount=101)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"amount": 0},
        {"amount": 4101},
        {"amount": 100, "lines": [{"type": "custom_line_item"}]},
        {"lines": [{"type": "invoice_line_item", "invoice_line_item": "il_x", "quantity": 1}]},
        {"lines": [{"type": "custom_line_item", "description": "x"}]},
    ],
)
def test_what_makes_no_sense_is_refused(client, invoice, wrong):
    with pytest.raises(stripe.InvalidRequestError):
        credit(client, invoice, **wrong)


def test_no_line_is_credited_more_than_whole(client, invoice):
    line = {"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id}
    credit(client, invoice, lines=[{**line, "quantity": 2}])

    with pytest.raises(stripe.InvalidRequestError, match="than there is left"):
        credit(client, invoice, lines=[{**line, "quantity": 2}])


def test_a_note_has_a_pdf(client, invoice, sandbox):
    note = credit(client, invoice, amount=1000)

    answer = sandbox.open_page("GET", note.pdf.removeprefix(sandbox.public_url), query={}, form={})

    assert (answer.status, answer.content_type) == (200, "application/pdf")
    assert b"10.00 USD" in answer.body
