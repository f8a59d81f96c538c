"""Invoices over HTTP: one's own alone, with every line, as a PDF of Stripe's."""

from threading import Thread

import pytest

from billing import gateway
from billing.customers import ensure_customer
from billing.models import Invoice
from config.clock import now
from keystore.services import issue_key
from sandbox.engine.invoices import write_lines
from sandbox.server import Server
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.subscribers import follow, subscribe
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/invoices"


@pytest.fixture
def invoice(alice, pro_monthly):
    """Alice's first month, paid."""
    subscribe(alice, pro_monthly, now)
    return Invoice.objects.get()


@pytest.fixture
def user(journal, invoice):
    accept_tokens(journal)
    return user_client("alice", journal)


@pytest.fixture
def stranger(journal, bob, user):
    return user_client("bob", journal)


def at(invoice, end=""):
    return f"{URL}/{invoice.stripe_invoice_id}{end}"


def test_a_user_and_an_app_see_the_same_invoice(user, api, invoice):
    (mine,) = user.get(URL).json()["data"]
    told = user.get(at(invoice)).json()

    assert mine == api.get(f"{URL}?user_id=alice&status=paid").json()["data"][0]
    assert (mine["status"], mine["total_minor"], mine["due_minor"]) == ("paid", 1499, 0)
    assert [line["amount_minor"] for line in told["lines"]["data"]] == [1499]
    assert [(one["status"], one["amount_minor"]) for one in told["payments"]] == [
        ("succeeded", 1499)
    ]
    assert told["live"] is True


@pytest.mark.parametrize("end", ["", "/lines", "/download"])
def test_somebody_elses_invoice_does_not_exist(stranger, user, invoice, end):
    answer = stranger.get(at(invoice, end))

    assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
    assert user.get(at(invoice, end)).status_code in (200, 302)


def test_another_project_sees_none_of_it(orbit, invoice):
    from rest_framework.test import APIClient

    app = orbit.apps.create(name="backend")
    key = issue_key(project=orbit, owner=app, scopes=("*",), actor="system", at=NOON).plaintext
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=key)

    assert client.get(URL).json()["data"] == []
    assert client.get("/api/billing/admin/invoices").json()["data"] == []
    assert client.get(at(invoice)).status_code == 404


def test_naming_somebody_else_is_refused(stranger, user):
    assert stranger.get(f"{URL}?user_id=alice").status_code == 404
    assert stranger.get(URL).json()["data"] == []


def test_a_status_that_does_not_exist_is_refused(api, invoice):
    answer = api.get(f"{URL}?status=lost")

    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (400, "query.status")


def test_while_stripe_is_away_the_invoice_is_told_as_last_seen(user, invoice, stripe_world):  # noqa: F811
    stripe_world.faults.add("GET /v1/invoices/*", "reset_before")

    told = user.get(at(invoice)).json()

    assert (told["live"], told["total_minor"]) == (False, 1499)
    assert [line["amount_minor"] for line in told["lines"]["data"]] == [1499]
    assert user.get(at(invoice, "/download")).status_code == 503


def test_five_hundred_lines_come_in_pages(alice, api, stripe_world):  # noqa: F811
    holder = ensure_customer(consumer=alice, actor="system", at=now())
    made = long_invoice(stripe_world, holder, 500)
    follow(holder, now)

    first = api.get(f"{URL}/{made}").json()
    ids, cursor = [], ""
    while cursor is not None:
        page = api.get(f"{URL}/{made}/lines?limit=100&cursor={cursor}").json()
        ids += [line["id"] for line in page["data"]]
        cursor = page["next_cursor"]

    assert len(set(ids)) == len(ids) == 500
    assert first["lines"]["has_more"] is True
    assert first["total_minor"] == 500


def long_invoice(world, holder, lines):
    """A draft at Stripe with as many lines of one cent; returns its id."""
    params = {"customer": holder.stripe_customer_id, "currency": "usd"}
    gateway.write("/v1/invoiceitems", {**params, "amount": 1}, idempotency_key="t:item")
    params["pending_invoice_items_behavior"] = "include"
    made = gateway.write("/v1/invoices", params, idempotency_key="t:long")["id"]
    invoice = world.store.get("invoice", made)
    (one,) = invoice["lines"]["data"]
    more = [
        {**one, "id": f"{one['id']}{number}", "discount_amounts": []} for number in range(lines)
    ]
    write_lines(world, invoice, more)
    return made


def test_the_pdf_is_a_redirect_or_the_bytes(user, invoice, stripe_world, settings):  # noqa: F811
    server = Server(stripe_world, 0)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    found = stripe_world.store.get("invoice", invoice.stripe_invoice_id)
    found["invoice_pdf"] = f"{settings.STRIPE_API_BASE}/pages/invoices/{found['id']}.pdf"
    try:
        answer = user.get(at(invoice, "/download?stream=1"))
        body = b"".join(answer.streaming_content)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert body.startswith(b"%PDF")
    assert answer["Content-Disposition"].endswith(f'invoice-{invoice.number}.pdf"')
    assert user.get(at(invoice, "/download"))["Location"] == found["invoice_pdf"]


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/a.pdf", "http://pay.stripe.com/x", "https://pay.stripe.com@evil/"],
)
def test_a_pdf_elsewhere_is_never_followed(user, invoice, stripe_world, link):  # noqa: F811
    stripe_world.store.get("invoice", invoice.stripe_invoice_id)["invoice_pdf"] = link

    for end in ("/download", "/download?stream=1"):
        assert user.get(at(invoice, end)).status_code == 503


def test_the_administrator_of_a_project_sees_everybody(user, stranger, journal, invoice):
    admin = user_client("boss", journal, roles=["admin"])

    users = admin.get("/api/billing/admin/users").json()["data"]
    found = {one["user_id"]: (one["status"], one["plan"]) for one in users}

    assert found == {"alice": ("active", "pro"), "bob": ("none", None)}
    (only,) = admin.get("/api/billing/admin/users?status=active").json()["data"]
    assert only["user_id"] == "alice"
    assert len(admin.get("/api/billing/admin/invoices").json()["data"]) == 1
    refused = stranger.get("/api/billing/admin/users")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_for_users")


def test_an_account_page_by_token(user, stranger):
    told = user.get("/api/billing/subscription").json()

    assert (told["status"], told["plan"], told["user_id"]) == ("active", "pro", "alice")
    assert stranger.get("/api/billing/subscription").json()["status"] == "none"
    assert stranger.get("/api/billing/usage").json()["meters"] == []
    assert user.get("/api/billing/quota?user_id=bob").status_code == 404
    assert user.post("/api/billing/portal", {}, format="json").status_code == 200
    assert stranger.post("/api/billing/portal", {}, format="json").status_code == 404
