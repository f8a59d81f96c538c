"""Invoices written by hand: drafted once, sent once, taken back, whatever breaks between."""

import pytest

from billing import gateway
from billing.custom_invoices import (
    CustomInvoiceState,
    InvoiceWish,
    draft_invoice,
    revise,
    send,
    work_custom_invoices,
)
from billing.custom_totals import totals_of
from billing.customers import ensure_customer
from billing.models import BillingPolicy, CustomInvoice, Invoice, TaxMode
from billing.operations import settle_due
from config.errors import InvalidInput
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/custom-invoices"
LINES = [
    {"description": "Enterprise, one year", "quantity": 3, "unit_amount_minor": 120_000},
    {"description": "Set-up", "quantity": 1, "unit_amount_minor": 5_000},
]


def wish(consumer, clock, **more):
    said = {"currency": "usd", "lines": LINES, "memo": "As agreed", "po_number": "PO-17"}
    return {
        "consumer": consumer,
        "wish": InvoiceWish(**{**said, **more}),
        "actor": "app:test",
        "reason": "Contract 17",
        "clock": clock,
    }


def at_stripe():
    return gateway.read_all("/v1/invoices")


def test_an_invoice_is_drafted_sent_and_taken_back(alice, clock):
    row = draft_invoice(**wish(alice, clock))
    (draft,) = at_stripe()
    assert (row.state, draft["status"], draft["total"]) == ("draft", "draft", 365_000)
    assert [line["quantity"] for line in draft["lines"]["data"]] == [3, 1]
    assert draft["custom_fields"] == [{"name": "PO number", "value": "PO-17"}]

    row = send(row=row, actor="app:test", reason="", clock=clock)
    row = send(row=row, actor="app:test", reason="", clock=clock)
    (sent,) = at_stripe()
    assert (row.state, sent["status"]) == ("sent", "open")
    assert sent["due_date"] - sent["created"] == 30 * 86_400
    assert Invoice.objects.get().status == "open"


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "server_error_after"])
@pytest.mark.parametrize("path", ["/v1/invoices", "/v1/invoices/*/add_lines"])
def test_whatever_breaks_it_is_drafted_once(alice, clock, kind, path):
    clock.sandbox.faults.add(f"POST {path}", kind, times=1)

    row = draft_invoice(**wish(alice, clock))
    assert row.state == "drafting"
    for _ in range(4):
        clock.advance(minutes=6)
        settle_due(at=clock())
        work_custom_invoices(clock=clock)

    row.refresh_from_db()
    (draft,) = at_stripe()
    assert (row.state, draft["total"]) == ("draft", 365_000)


def test_apps_write_send_and_void(api, alice, lifetime, stripe_world):
    priced = {"price_id": lifetime.stripe_price_id, "quantity": 2}
    body = {"user_id": "alice", "currency": "USD", "lines": [*LINES, priced], "send": True}

    made = api.post(URL, body, format="json")
    told = api.get(f"/api/v1/invoices/{made.json()['invoice_id']}").json()
    gone = api.post(f"{URL}/{made.json()['id']}/void", {}, format="json")
    again = api.post(f"{URL}/{made.json()['id']}/void", {}, format="json")

    assert (made.status_code, made.json()["state"]) == (201, "sent")
    assert (told["status"], told["total_minor"]) == ("open", 365_000 + 2 * 9900)
    assert (gone.json()["state"], again.json()["state"]) == ("withdrawn", "withdrawn")
    assert at_stripe()[0]["status"] == "void"
    assert len(api.get(URL).json()["data"]) == 1


def test_a_draft_is_deleted_when_taken_back(api, alice, stripe_world):
    body = {"user_id": "alice", "currency": "usd", "lines": LINES}
    made = api.post(URL, body, format="json").json()

    assert api.post(f"{URL}/{made['id']}/void", {}, format="json").json()["state"] == "withdrawn"
    assert at_stripe() == []
    refused = api.post(f"{URL}/{made['id']}/send", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "custom_invoice_state")


def test_what_is_paid_stays(api, alice, stripe_world):
    body = {"user_id": "alice", "currency": "usd", "lines": LINES, "send": True}
    made = api.post(URL, body, format="json").json()
    gateway.write(
        f"/v1/invoices/{made['invoice_id']}/pay",
        {"paid_out_of_band": True},
        idempotency_key="t:paid",
    )

    refused = api.post(f"{URL}/{made['id']}/void", {}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (422, "stripe_refused")
    assert api.get(f"{URL}/{made['id']}").json()["state"] == "sent"


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": []},
        {"lines": [{"quantity": 1}]},
        {"lines": [{"price_id": "price_of_others"}]},
        {"lines": [{"description": "x", "unit_amount_minor": -1}]},
        {"lines": [{"description": "x", "unit_amount_minor": 1, "price_id": "price_x"}]},
        {"currency": "u$d"},
        {"days_until_due": 400},
    ],
)
def test_what_makes_no_sense_is_refused_before_stripe_hears_of_it(api, alice, stripe_world, wrong):
    body = {"user_id": "alice", "currency": "usd", "lines": LINES, **wrong}

    assert api.post(URL, body, format="json").status_code == 400
    assert (CustomInvoice.objects.count(), at_stripe()) == (0, [])


def test_another_project_knows_nothing_of_it(api, mallory, clock):
    row = draft_invoice(**wish(mallory, clock))

    for path in ("", "/send", "/void"):
        ask = api.post if path else api.get
        assert ask(f"{URL}/{row.public_id}{path}").status_code == 404
    row.refresh_from_db()
    assert row.state == "draft"


VAT = {"name": "VAT", "percentage": "20", "inclusive": False}


@pytest.mark.parametrize(
    ("currency", "each", "percentage", "inclusive", "tax", "total"),
    [
        ("usd", 1000, "19", False, 570, 3570),
        ("usd", 1000, "20", True, 500, 3000),
        ("jpy", 335, "10", False, 101, 1106),  # 100.5 is rounded up
        ("kwd", 12_340, "5", False, 1851, 38_871),
    ],
)
def test_named_taxes_are_made_once_and_counted(
    api, alice, stripe_world, currency, each, percentage, inclusive, tax, total
):
    named = {"name": "VAT", "percentage": percentage, "inclusive": inclusive}
    line = {"description": "Seat", "quantity": 3, "unit_amount_minor": each, "taxes": [named]}
    body = {"user_id": "alice", "currency": currency, "lines": [line]}

    made = api.post(URL, body, format="json").json()
    other = api.post(URL, {**body, "memo": "Another"}, format="json").json()

    assert (made["total_minor"], made["tax_minor"]) == (total, tax)
    assert totals_of([line]).total_minor == total
    (rate,) = gateway.read_all("/v1/tax_rates")
    told = api.get(f"/api/v1/invoices/{other['invoice_id']}").json()
    (counted,) = told["taxes"]
    assert named.items() <= counted.items()
    assert (counted["tax_rate_id"], counted["amount_minor"]) == (rate["id"], tax)
    assert told["lines"]["data"][0]["tax_minor"] == tax


def test_rates_of_stripe_are_checked_before_they_are_used(api, alice, stripe_world):
    given = {"display_name": "GST", "percentage": 10, "inclusive": False}
    rate = gateway.write("/v1/tax_rates", given, idempotency_key="t:rate")["id"]
    body = {"user_id": "alice", "currency": "usd", "lines": LINES, "tax_rates": [rate]}

    assert api.post(URL, body, format="json").json()["tax_minor"] == 36_500
    both = api.post(URL, {**body, "automatic_tax": True}, format="json")
    gateway.write(f"/v1/tax_rates/{rate}", {"active": False}, idempotency_key="t:archive")
    archived = api.post(URL, {**body, "memo": "Another"}, format="json")
    unknown = api.post(URL, {**body, "tax_rates": ["txr_x"]}, format="json")
    assert [one.status_code for one in (both, archived, unknown)] == [400, 400, 400]


@pytest.mark.parametrize("kind", ["reset_after", "server_error_after"])
def test_a_rate_whose_answer_is_lost_is_made_once(alice, clock, kind):
    clock.sandbox.faults.add("POST /v1/tax_rates", kind, times=1)
    lines = [{**LINES[0], "taxes": [VAT]}]

    row = draft_invoice(**wish(alice, clock, lines=lines))
    assert row.state == "drafting"
    clock.advance(minutes=6)
    work_custom_invoices(clock=clock)

    row.refresh_from_db()
    assert (row.state, at_stripe()[0]["total"]) == ("draft", 432_000)
    assert len(gateway.read_all("/v1/tax_rates")) == 1


def test_five_hundred_lines_are_added_in_parts(alice, clock):
    lines = [
        {"description": f"Item {n}", "quantity": 1, "unit_amount_minor": 100} for n in range(500)
    ]

    row = draft_invoice(**wish(alice, clock, lines=lines))

    (draft,) = at_stripe()
    assert (row.state, draft["total"]) == ("draft", 50_000)
    assert len(gateway.read_all(f"/v1/invoices/{draft['id']}/lines")) == 500
    with pytest.raises(InvalidInput):
        draft_invoice(**wish(alice, clock, lines=[*lines, lines[0]]))


def test_a_double_click_is_one_invoice(api, alice, stripe_world):
    ensure_customer(consumer=alice, actor="app:test", at=NOON)
    body = {"user_id": "alice", "currency": "usd", "lines": LINES}

    answers = at_once(lambda: api.post(URL, body, format="json"), times=4)

    assert {answer.status_code for answer in answers} <= {201, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(at_stripe()) == 1
    headers = {"HTTP_IDEMPOTENCY_KEY": "second-of-the-same"}
    deliberate = [api.post(URL, body, format="json", **headers).json()["id"] for _ in range(2)]
    assert len({*deliberate, answers[0].json()["id"]}) == 2


def test_the_same_content_later_is_another_invoice(alice, clock):
    first = draft_invoice(**wish(alice, clock))
    clock.advance(minutes=3)

    assert draft_invoice(**wish(alice, clock)).pk != first.pk


def test_a_draft_is_revised_in_its_place(alice, clock):
    row = draft_invoice(**wish(alice, clock))
    clock.advance(seconds=1)
    said = InvoiceWish(currency="eur", lines=LINES[1:], footer="Thank you")

    row = revise(row=row, wish=said, actor="staff:sam", reason="Typo", clock=clock)

    (draft,) = at_stripe()
    assert (row.state, row.stripe_invoice_id) == ("draft", draft["id"])
    assert (draft["currency"], draft["total"], draft["footer"]) == ("eur", 5_000, "Thank you")
    assert [one.total_minor for one in Invoice.objects.all()] == [5_000]
    row = send(row=row, actor="staff:sam", reason="", clock=clock)
    with pytest.raises(CustomInvoiceState):
        revise(row=row, wish=said, actor="staff:sam", reason="", clock=clock)


def test_stripe_tax_counts_where_the_project_sells_so(api, alice, journal, stripe_world):
    BillingPolicy.objects.create(project=journal, tax=TaxMode.AUTOMATIC)
    body = {"user_id": "alice", "currency": "usd", "lines": LINES}

    counted = api.post(URL, body, format="json").json()
    taxes = [{"name": "VAT", "percentage": "19"}]
    named = api.post(URL, {**body, "taxes": taxes}, format="json").json()

    assert (counted["automatic_tax"], named["automatic_tax"]) == (True, False)
    enabled = [one["automatic_tax"]["enabled"] for one in at_stripe()]
    assert sorted(enabled) == [False, True]
    refused = api.post(f"{URL}/{counted['id']}/send", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "stripe_refused")  # no address
    assert api.get(f"{URL}/{counted['id']}").json()["state"] == "draft"
