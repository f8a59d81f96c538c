"""An invoice is credited by an amount or by lines: held first, settled once, never too much."""

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from billing import gateway
from billing.credit_note_desk import CreditTooLarge, NoteWish
from billing.credit_note_steps import issue_credit_note, work_credit_notes
from billing.models import CreditNote, Invoice, Payment, Refund, RefundRequest
from billing.refund_blocks import left_minor
from billing.refund_desk import approve, reject
from billing.refunds import RefundTooLarge, want_refund
from config.clock import now
from keystore.services import issue_key
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.refund_cast import a_budget, a_limit, a_person
from tests.billing.subscribers import follow, subscribe
from tests.keystore.tokens_cast import accept_tokens, user_client
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def invoice(alice, pro_monthly):
    """Alice's first month, 14.99 USD, which nothing paid yet."""
    subscribe(alice, pro_monthly, now, card="", collection_method="send_invoice", days_until_due=7)
    return Invoice.objects.get()


@pytest.fixture
def paid(alice, pro_monthly):
    """The same, paid by card."""
    subscribe(alice, pro_monthly, now)
    return Invoice.objects.get()


def url(invoice, end=""):
    return f"/api/v1/invoices/{invoice.stripe_invoice_id}/credit-notes{end}"


def ask(client, invoice, end="", **body):
    return client.post(url(invoice, end), body, format="json")


def issue(invoice, amount, settle, **more):
    wish = NoteWish(settle=settle, reason="Outage", amount_minor=amount, **more)
    return issue_credit_note(invoice=invoice, wish=wish, actor="app:test", person=None, clock=now)


def at_stripe(path="/v1/credit_notes"):
    return gateway.read_all(path)


def test_an_open_invoice_asks_for_less_and_voiding_makes_it_due_again(api, alice, invoice):
    (line,) = gateway.read_all(f"/v1/invoices/{invoice.stripe_invoice_id}/lines")
    body = {"lines": [{"line_id": line["id"], "amount_minor": 500}], "settle": "due"}

    seen = ask(api, invoice, "/preview", **body).json()
    assert (seen["amount_minor"], seen["due_minor"], seen["left_minor"]) == (500, 500, 999)
    assert (CreditNote.objects.count(), at_stripe()) == (0, [])

    made = ask(api, invoice, **body, stripe_reason="order_change", memo="Sorry")
    note = made.json()
    assert (made.status_code, note["status"], note["due_minor"]) == (201, "issued", 500)
    assert note["pdf_url"].endswith(".pdf")
    told = api.get(f"/api/v1/invoices/{invoice.stripe_invoice_id}").json()
    assert (told["due_minor"], told["credited_minor"]) == (999, 500)

    path = f"/api/v1/credit-notes/{note['id']}/void"
    voids = [api.post(path, {}, format="json").json()["status"] for _ in range(2)]
    assert voids == ["void", "void"]
    invoice.refresh_from_db()
    assert (invoice.credited_minor, at_stripe()[0]["status"]) == (0, "void")


def test_what_was_paid_is_credited_to_the_balance_and_refunds_count_it(api, paid):
    made = ask(api, paid, amount_minor=1000, settle="balance").json()

    assert (made["status"], made["balance_minor"], made["settle"]) == ("issued", 1000, "balance")
    assert at_stripe("/v1/customers")[0]["balance"] == -1000
    payment = Payment.objects.get()
    assert left_minor(payment) == 499
    with pytest.raises(RefundTooLarge):
        want_refund(payment=payment, amount_minor=500, reason="x", actor="system", at=now())
    too_much = ask(api, paid, amount_minor=500, settle="balance")
    assert (too_much.status_code, too_much.json()["code"]) == (409, "credit_exceeds_invoice")
    void = api.post(f"/api/v1/credit-notes/{made['id']}/void", {}, format="json")
    assert (void.status_code, void.json()["code"]) == (409, "credit_note_state")


def test_eight_at_once_never_credit_more_than_the_invoice(invoice):
    def credit():
        try:
            return issue(invoice, 500, "due").status
        except (CreditTooLarge, gateway.StripeRefused) as refusal:
            return refusal.code

    outcomes = at_once(credit)

    assert outcomes.count("issued") == 2
    assert sum(note["amount"] for note in at_stripe()) == 1000
    invoice.refresh_from_db()
    assert invoice.credited_minor == 1000


def test_a_refund_below_the_limit_goes_through_the_desk_once(api, paid, journal):
    a_limit(journal, 1_000)
    headers = {"HTTP_IDEMPOTENCY_KEY": "outage-1"}
    body = {"amount_minor": 600, "settle": "refund", "reason": "Outage"}

    made = [api.post(url(paid), body, format="json", **headers).json() for _ in range(2)]

    assert made[0] == made[1]
    assert (made[0]["status"], made[0]["refunded_minor"]) == ("issued", 600)
    assert [refund["amount"] for refund in at_stripe("/v1/refunds")] == [600]
    (note,) = at_stripe()
    refund = Refund.objects.get()
    assert [one["refund"] for one in note["refunds"]] == [refund.stripe_refund_id]
    assert RefundRequest.objects.get().state == "done"
    assert left_minor(Payment.objects.get()) == 899


def test_above_the_limit_a_second_person_decides(api, paid, journal):
    fay = a_person("fay", "Finance")
    body = {"amount_minor": 1000, "settle": "refund", "reason": "Outage"}

    waits = ask(api, paid, **body)
    assert (waits.status_code, waits.json()["status"]) == (202, "refunding")
    assert (at_stripe(), at_stripe("/v1/refunds")) == ([], [])
    assert ask(api, paid, amount_minor=500, settle="balance").status_code == 409
    reject(request=RefundRequest.objects.get(), person=fay, reason="No", at=now())
    CreditNote.objects.update(next_look_at=now())
    work_credit_notes(clock=now)
    failed = api.get(f"/api/v1/credit-notes/{waits.json()['id']}").json()
    assert (failed["status"], "rejected" in failed["problem"]) == ("failed", True)

    ask(api, paid, **body)
    request = RefundRequest.objects.get(state="awaiting")
    approve(request=request, person=fay, reason="Yes", at=now())
    CreditNote.objects.update(next_look_at=now())
    work_credit_notes(clock=now)
    assert [note["total"] for note in at_stripe()] == [1000]
    assert [refund["amount"] for refund in at_stripe("/v1/refunds")] == [1000]


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "server_error_after"])
@pytest.mark.parametrize("settle", ["balance", "refund"])
def test_a_lost_answer_is_looked_up_and_credits_once(paid, journal, stripe_world, kind, settle):  # noqa: F811
    a_limit(journal, 5_000)
    stripe_world.faults.add("POST /v1/credit_notes", kind, times=1)

    note = issue(paid, 400, settle)
    assert note.status == "wanted"
    later = now() + timedelta(days=2)  # past every wait
    work_credit_notes(clock=lambda: later)

    note.refresh_from_db()
    paid.refresh_from_db()
    assert (note.status, paid.credited_minor) == ("issued", 400)
    assert [one["total"] for one in at_stripe()] == [400]
    assert len(at_stripe("/v1/refunds")) == (settle == "refund")


def test_what_stripe_refuses_is_free_again(paid, stripe_world):  # noqa: F811
    stripe_world.faults.add("POST /v1/credit_notes", "refused", times=1)

    note = issue(paid, 400, "balance")

    paid.refresh_from_db()
    assert (note.status, bool(note.problem), paid.credited_minor) == ("failed", True, 0)


def test_a_note_made_at_stripe_counts_and_its_own_user_sees_it(api, journal, bob, alice, paid):
    made = gateway.write(
        "/v1/credit_notes",
        {"invoice": paid.stripe_invoice_id, "amount": 300, "refund_amount": 300},
        idempotency_key="t:note",
    )
    follow(alice.stripe_customer, now)
    accept_tokens(journal)
    own, other = user_client("alice", journal), user_client("bob", journal)

    for path in (url(paid), "/api/v1/credit-notes"):
        (seen,) = own.get(path).json()["data"]
        assert (seen["stripe_credit_note_id"], seen["settle"]) == (made["id"], None)
        assert (seen["amount_minor"], seen["refunded_minor"]) == (300, 300)
    assert other.get(url(paid)).status_code == 404
    assert other.get("/api/v1/credit-notes").json()["data"] == []
    assert other.get(f"/api/v1/credit-notes/{made['id']}").status_code == 404
    assert own.post(url(paid), {}, format="json").status_code in (401, 403)
    assert ask(api, paid, amount_minor=1200, settle="balance").status_code == 409
    assert own.get(f"/api/v1/credit-notes/{made['id']}").json()["number"]


def test_sending_money_back_needs_a_scope_of_its_own(journal, paid):
    app = journal.apps.create(name="clerk")
    key = issue_key(
        project=journal, owner=app, scopes=("invoices:write",), actor="system", at=now()
    )
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=key.plaintext)

    answer = ask(client, paid, amount_minor=100, settle="refund")

    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert ask(client, paid, amount_minor=100, settle="balance").status_code == 201


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"settle": "due", "amount_minor": 100}, 409),
        ({"settle": "balance"}, 400),
        ({"settle": "balance", "amount_minor": 0}, 400),
        ({"settle": "gift", "amount_minor": 100}, 400),
        ({"settle": "balance", "amount_minor": 100, "lines": [{"line_id": "il_x"}]}, 400),
        ({"settle": "balance", "lines": [{"line_id": "il_x", "quantity": 1}]}, 400),
        ({"settle": "balance", "amount_minor": 1500}, 409),
        ({"settle": "balance", "amount_minor": 100, "stripe_reason": "whim"}, 400),
    ],
)
def test_what_makes_no_sense_changes_nothing(api, paid, wrong, status):
    for end in ("/preview", ""):
        assert ask(api, paid, end, **wrong).status_code == status
    paid.refresh_from_db()
    assert (CreditNote.objects.count(), paid.credited_minor, at_stripe()) == (0, 0, [])


def test_a_disputed_payment_is_credited_by_nobody(api, alice, paid, stripe_world):  # noqa: F811
    from sandbox.engine.disputes import open_dispute

    charge = stripe_world.store.get("charge", Payment.objects.get().stripe_charge_id)
    open_dispute(stripe_world, charge)
    follow(alice.stripe_customer, now)

    answer = ask(api, paid, amount_minor=100, settle="balance")

    assert (answer.status_code, answer.json()["code"]) == (409, "refund_blocked")


def test_what_apps_send_back_has_a_budget(api, paid, journal):
    a_limit(journal, 5_000)
    a_budget(journal, "Apps", 500)

    first = ask(api, paid, amount_minor=400, settle="refund")
    second = ask(api, paid, amount_minor=200, settle="refund")

    assert first.status_code == 201
    assert (second.status_code, second.json()["code"]) == (409, "refund_budget_spent")
