"""Invoices written by hand: drafted once, sent once, taken back, whatever breaks between."""

import pytest

from billing import gateway
from billing.custom_invoices import draft_invoice, send, work_custom_invoices
from billing.models import CustomInvoice, Invoice
from billing.operations import settle_due

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/custom-invoices"
LINES = [
    {"description": "Enterprise, one year", "quantity": 3, "unit_amount_minor": 120_000},
    {"description": "Set-up", "quantity": 1, "unit_amount_minor": 5_000},
]


def wish(consumer, clock, **more):
    asked = {
        "consumer": consumer,
        "currency": "usd",
        "lines": LINES,
        "days_until_due": 30,
        "memo": "As agreed",
        "po_number": "PO-17",
        "actor": "app:test",
        "reason": "Contract 17",
        "clock": clock,
    }
    return {**asked, **more}


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
