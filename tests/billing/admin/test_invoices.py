"""Staff write invoices, act on them and credit them: told before, done once, on record."""

import re

import pytest

from billing import gateway
from billing.custom_text import cells_of, line_of, lines_in, taxes_in, text_of
from billing.models import CreditNote, CustomInvoice, Invoice
from config.clock import now
from config.errors import InvalidInput
from keystore.models import AuditEntry
from tests.billing.admin.conftest import page_of, say
from tests.billing.admin.test_acts import stripe_world, text, url_of  # noqa: F401
from tests.billing.refund_cast import a_limit
from tests.billing.subscribers import give_card, subscribe
from tests.staff import client_of

in_earnest = pytest.mark.django_db(transaction=True)
DRAFT = "/admin/billing/custominvoice/draft"


@pytest.fixture
def finance(db):
    return client_of("Finance")


@pytest.fixture
def invoice(alice, pro_monthly):
    """Alice's first month, 14.99 USD, which nothing paid yet."""
    subscribe(alice, pro_monthly, now, card="", collection_method="send_invoice", days_until_due=7)
    return Invoice.objects.get()


def form_of(answer, **given):
    """What the open form would send, with these fields filled in."""
    (wish,) = re.findall(r'name="wish" value="([^"]+)"', answer.content.decode())
    return {"wish": wish, "reason": "As agreed", **given}


def written(alice, **given):
    asked = {"consumer": alice.public_id, "currency": "eur", "days_until_due": "14"}
    lines = {"words": ["Seats", "Set-up"], "many": ["3", ""], "each": ["10.50", "5"]}
    return {**asked, **lines, "tax": ["", "VAT 7 inclusive"], "invoice_tax": "VAT 19", **given}


@in_earnest
def test_an_invoice_is_written_once_edited_sent_and_taken_back(finance, alice, stripe_world):  # noqa: F811
    opened = finance.get(f"{DRAFT}?consumer={alice.public_id}", follow=True)
    asked = form_of(opened, **written(alice))
    seen = text(finance.post(DRAFT + "/", {**asked, "act": "preview"}))
    assert "42.49 EUR" in seen  # 31.50 + 5.99 tax + 5.00 with its tax inside
    assert "VAT 7 % inside" in seen

    again = [finance.post(DRAFT + "/", {**asked, "act": "draft"}) for _ in range(2)]
    row = CustomInvoice.objects.get()
    assert {answer.headers["Location"] for answer in again} == {url_of(row, "change")}
    (draft,) = gateway.read_all("/v1/invoices")
    assert (draft["status"], draft["total"], draft["currency"]) == ("draft", 4249, "eur")

    form = finance.get(url_of(row, "edit"))
    assert "VAT 7 inclusive" in text(form)
    asked = form_of(form, **written(alice, currency="jpy", each=["100", "50"], memo="Danke"))
    finance.post(url_of(row, "edit"), {**asked, "act": "draft"})
    (draft,) = gateway.read_all("/v1/invoices")
    assert (draft["total"], draft["currency"], draft["description"]) == (407, "jpy", "Danke")
    page = text(finance.get(url_of(row, "change")))
    assert "407 JPY" in page

    finance.post(url_of(row, "send"), say())
    assert gateway.read_all("/v1/invoices")[0]["status"] == "open"
    finance.post(url_of(row, "take_back"), say())
    assert gateway.read_all("/v1/invoices")[0]["status"] == "void"
    acts = AuditEntry.objects.filter(act__startswith="custom_invoice.").values_list("act", "actor")
    assert {act.partition(".")[2] for act, _ in acts} == {
        *("draft", "revising", "sending", "withdrawing")
    }
    assert {actor for _, actor in acts} == {"staff:finance"}


@in_earnest
def test_many_lines_are_pasted(finance, alice, stripe_world):  # noqa: F811
    rows = "\n".join(f"Item {n}\t2\t1.25" for n in range(500))
    asked = form_of(finance.get(DRAFT + "/"), **written(alice, words=[], pasted=rows))

    seen = text(finance.post(DRAFT + "/", {**asked, "act": "preview"}))
    assert "1,490.00 EUR" in seen  # 1,250.00 and 0.48 on each line
    more = {**asked, "pasted": rows + "\nOne\t1\t1", "act": "draft"}
    assert "up to 500 lines" in text(finance.post(DRAFT + "/", more))
    assert not CustomInvoice.objects.exists()


@in_earnest
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"words": []}, "at least one line"),
        ({"each": ["ten", "5"]}, "Write an amount of EUR"),
        ({"many": ["0", "1"]}, "A quantity is a whole number"),
        ({"invoice_tax": "nineteen"}, "Write a tax like"),
        ({"invoice_tax": "txr_unknown"}, "Stripe has no tax rate"),
        ({"consumer": "nobody"}, "There is no such consumer"),
        ({"currency": "e€r"}, "Write three letters"),
        ({"reason": ""}, "This field is required"),
        ({"automatic_tax": "on"}, "not both"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_drafted(
    finance,
    alice,
    stripe_world,  # noqa: F811
    wrong,
    said,
):
    asked = form_of(finance.get(DRAFT + "/"), **written(alice))

    answer = finance.post(DRAFT + "/", {**asked, **wrong, "act": "draft"})

    assert said in text(answer)
    assert not CustomInvoice.objects.exists()


@in_earnest
@pytest.mark.parametrize(
    ("act", "more", "status"),
    [
        ("void", {}, "void"),
        ("give_up", {}, "uncollectible"),
        ("paid_elsewhere", {"how": "Bank transfer 4711"}, "paid"),
        ("collect", {}, "paid"),
    ],
)
def test_staff_act_on_an_open_invoice_once(finance, alice, invoice, act, more, status):
    give_card(alice.stripe_customer, "pm_card_visa")
    url = url_of(invoice, act)
    assert "14.99 USD" in text(finance.get(url))

    done = finance.post(url, say(**more), HTTP_HX_CURRENT_URL=f"http://testserver{page_of(alice)}")
    again = finance.post(url, say(**more))

    invoice.refresh_from_db()
    assert (done.headers["HX-Redirect"], invoice.status) == (page_of(alice), status)
    assert "HX-Redirect" not in again.headers
    entries = AuditEntry.objects.filter(act__startswith="invoice.", actor="staff:finance")
    assert len(entries) == 1
    assert all(word in entries[0].reason for word in more.values())


@in_earnest
def test_an_open_invoice_is_credited_once_and_the_note_voided(finance, invoice):
    url = url_of(invoice, "credit")
    asked = form_of(finance.get(url), amount="5", settle="due", stripe_reason="", memo="")

    seen = text(finance.post(url, {**asked, "act": "preview"}))
    assert "5.00 USD, 0.00 USD of it tax" in seen
    assert not CreditNote.objects.exists()
    for _ in range(2):
        finance.post(url, {**asked, "act": "credit"})

    note = CreditNote.objects.get()
    assert (note.status, note.amount_minor, note.created_by) == ("issued", 500, "staff:finance")
    finance.post(url_of(note, "void"), say())
    note.refresh_from_db()
    invoice.refresh_from_db()
    assert (note.status, invoice.credited_minor) == ("void", 0)


@in_earnest
def test_a_line_of_a_paid_invoice_is_refunded_by_the_desk(finance, alice, journal, pro_monthly):
    a_limit(journal, 1_000)
    subscribe(alice, pro_monthly, now)
    invoice = Invoice.objects.get()
    (line,) = gateway.read_all(f"/v1/invoices/{invoice.stripe_invoice_id}/lines")
    url = url_of(invoice, "credit")
    lines = {f"line-{line['id']}": "14.99", "amount": ""}
    asked = form_of(finance.get(url), settle="refund", stripe_reason="", memo="", **lines)

    seen = text(finance.post(url, {**asked, "act": "preview"}))
    assert "Waits for a second person: above 10.00 USD" in seen
    finance.post(url, {**asked, "act": "credit"})

    note = CreditNote.objects.get()
    assert (note.status, note.refund_request.state) == ("refunding", "awaiting")
    assert note.refund_request.requested_by == "staff:finance"
    assert gateway.read_all("/v1/refunds") == []


@in_earnest
def test_the_page_of_a_customer_leads_there(finance, support, alice, invoice):
    page = text(finance.get(page_of(alice)))

    assert all(url_of(invoice, act) in page for act in ("void", "give_up", "credit"))
    assert f"{DRAFT}?consumer={alice.public_id}" in page.replace("/draft/?", "/draft?")
    other = text(support.get(page_of(alice)))
    assert url_of(invoice, "collect") in other
    assert url_of(invoice, "void") not in other


@pytest.mark.parametrize(
    ("typed", "tax"),
    [
        ("VAT 19", {"name": "VAT", "percentage": "19", "inclusive": False}),
        ("VAT 19.5% incl.", {"name": "VAT", "percentage": "19.5", "inclusive": True}),
        ("State tax 8.875", {"name": "State tax", "percentage": "8.875", "inclusive": False}),
        ("txr_1abc", {"tax_rate_id": "txr_1abc"}),
    ],
)
def test_taxes_are_read_as_people_write_them(typed, tax):
    assert taxes_in(typed) == [tax]


@pytest.mark.parametrize("typed", ["VAT", "VAT 101", "19", "VAT 19 or so"])
def test_other_words_are_no_tax(typed):
    with pytest.raises(InvalidInput):
        taxes_in(typed)


def test_lines_survive_being_shown_and_read_again():
    lines = lines_in("Seats | 3 | 10.50 | VAT 19, GST 5 incl\nprice_1 | 2", "usd")

    assert [line_of(cells_of(line, "usd"), "usd") for line in lines] == lines
    assert lines_in(text_of(lines, "usd"), "usd") == lines
    assert lines[1] == {"quantity": 2, "price_id": "price_1"}
